namespace MnistNative.Tests.Api;

/// <summary>What predictions are refused, by shape and by loss.</summary>
public sealed class PredictionTests
{
    [Fact]
    public void APictureOfAnotherSizeIsNoBatch()
    {
        using Model model = Sequential.Input(1, 28, 28).Flatten().Linear(10).Build();
        float[] large = new float[56 * 56];
        foreach (Action call in (Action[])[
            () => model.Predict(large),
            () => model.PredictProbabilities(large),
            () => model.Forward(large),
            () => model.Predict(new byte[56 * 56]),
        ])
        {
            string message = Assert.Throws<ArgumentException>(call).Message;
            Assert.Contains("The span has 3136 values; one image of shape 1×28×28 has 784.", message);
            Assert.Contains("count: 4", message);
        }

        Assert.Equal(4, model.Predict(large, count: 4).Length);
        Assert.Equal(40, model.Forward(large, count: 4).Length);
        Assert.Equal(40, model.PredictProbabilities(large, count: 4).Length);
        Assert.Contains("3 images of shape 1×28×28 have 2352", Assert.Throws<ArgumentException>(() => model.Predict(large, 3)).Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => model.Predict(large, -1));
        int[] classes = new int[4];
        model.Predict(large, classes);
    }

    [Fact]
    public void WhatGivesNoClassIsRefused()
    {
        using Model pixels = Sequential.Input(1, 4, 4).Conv2d(3, 3, padding: 1).Build();
        using Model sequence = Sequential.Input(2, 8).Conv1d(3, 3).Build();
        using Model one = Sequential.Input(4).Linear(1).Build();
        foreach (Model model in new[] { pixels, sequence, one })
        {
            float[] image = new float[model.InputShape.Length];
            Assert.Contains("Forward gives the values", Assert.Throws<InvalidOperationException>(() => model.Predict(image)).Message);
            Assert.Contains("Forward gives the values", Assert.Throws<InvalidOperationException>(() => model.PredictProbabilities(image)).Message);
            Assert.Equal(model.OutputLength, model.Forward(image).Length);
        }

        Assert.Contains("3×4×4", Assert.Throws<InvalidOperationException>(() => pixels.Predict(new float[16])).Message);
    }

    [Fact]
    public void TheLossDecidesWhatAPredictionIs()
    {
        using var folder = new Data.TempFolder();
        float[] images = [.. Enumerable.Range(0, 16).Select(i => i / 16f)];
        using Model model = Sequential.Input(4).Linear(3).Build(seed: 1);
        ImageDataset values = ImageDataset.FromMemory(images, new float[12], model.InputShape);
        Assert.Equal(4, model.Predict(images, 4).Length);

        model.Fit(values);
        Assert.Contains("Loss.Mse", Assert.Throws<InvalidOperationException>(() => model.Predict(images, 4)).Message);
        Assert.Throws<InvalidOperationException>(() => model.PredictProbabilities(images, 4));
        model.Save(folder.File("m.safetensors"));
        using (Model loaded = Model.Load(folder.File("m.safetensors")))
        {
            Assert.Contains("Loss.Mse", Assert.Throws<InvalidOperationException>(() => loaded.Predict(images, 4)).Message);
        }

        model.Fit(values, new FitOptions { Loss = Loss.BceWithLogits() });
        Assert.Contains("PredictProbabilities", Assert.Throws<InvalidOperationException>(() => model.Predict(images, 4)).Message);
        float[] expected = [.. model.Forward(images, 4).Select(score => (float)(1 / (1 + Math.Exp(-score))))];
        Assert.InRange(Tiny.Distance(expected, model.PredictProbabilities(images, 4)), 0, 1e-6);

        model.Fit(ImageDataset.FromMemory(images, new byte[] { 0, 1, 2, 0 }, model.InputShape, 3));
        Assert.Equal(4, model.Predict(images, 4).Length);
    }

    [Fact]
    public void ManyImagesArePredictedInParts()
    {
        // 70,000 images of 1,000 scores are 4 parts.
        using Model model = Sequential.Input(1).Linear(1000).Build(seed: 1);
        float[] images = [.. Enumerable.Range(0, 70_000).Select(i => (i % 101) - 50f)];
        int[] classes = model.Predict(images, images.Length);
        for (int i = 0; i < images.Length; i += 4999)
        {
            Assert.Equal(model.Predict([images[i]])[0], classes[i]);
        }

        Assert.Contains("more than", Assert.Throws<ArgumentException>(() => model.Forward(new float[3_000_000], 3_000_000)).Message);
    }

    [Fact]
    public void ReportsAndModelsPrintTables()
    {
        using Model model = Sequential.Input(2).Linear(2, bias: false).Build();
        model.SetParameter("0.weight", [1, 0, 0, 1]);
        Assert.Equal(model.Summary().ToString(), model.ToString());

        // Class 0: 3 images, 2 right; class 1: 1 image, right.
        ImageDataset data = ImageDataset.FromMemory(
            new float[] { 2, 1, 3, 1, 0, 1, 0, 4 }, new byte[] { 0, 0, 0, 1 }, model.InputShape, 2);
        EvaluationReport report = model.EvaluateReport(data);
        Assert.Equal((3, 1), (report.Support(0), report.Support(1)));
        Assert.Equal(0.8, report.F1(0), 1e-12);
        Assert.Equal(2.0 / 3, report.F1(1), 1e-12);
        Assert.Equal(0.75, report.MacroPrecision, 1e-12);
        Assert.Equal(5.0 / 6, report.MacroRecall, 1e-12);
        Assert.Equal(11.0 / 15, report.MacroF1, 1e-12);
        Assert.Equal(0.875, report.WeightedPrecision, 1e-12);
        Assert.Equal(0.75, report.WeightedRecall, 1e-12);
        Assert.Equal(((3 * 0.8) + (2.0 / 3)) / 4, report.WeightedF1, 1e-12);
        Assert.Equal(
            """
            class          precision  recall      F1  images
            ------------------------------------------------
            0                 1.0000  0.6667  0.8000       3
            1                 0.5000  1.0000  0.6667       1
            macro mean        0.7500  0.8333  0.7333       4
            weighted mean     0.8750  0.7500  0.7667       4
            ------------------------------------------------
            accuracy 75.00% of 4 images
            """.ReplaceLineEndings(),
            report.ToString());
    }

    [Fact]
    public void NestingHasALimitThatIsToldWhenDescribed()
    {
        using var folder = new Data.TempFolder();
        using (Model deepest = Deep(Sequential.Input(4), 256).Build(seed: 1))
        {
            deepest.Save(folder.File("deep.safetensors"));
            using Model loaded = Model.Load(folder.File("deep.safetensors"));
            Assert.Equal(deepest.Forward([1, 2, 3, 4]), loaded.Forward([1, 2, 3, 4]));
            deepest.Fit(ImageDataset.FromMemory(new float[16], new byte[] { 0, 1, 2, 3 }, deepest.InputShape, 4));
        }

        foreach (int depth in new[] { 257, 300, 2000, 100_000 })
        {
            Assert.Contains("nested 256 deep", Assert.Throws<ArgumentException>(() => Deep(Sequential.Input(4), depth)).Message);
        }

        // A file can say what the methods do not.
        string text = IO.ArchitectureFormat.Write(DeepBlocks(Sequential.Input(4), 256));
        Assert.Equal(text, IO.ArchitectureFormat.Write(IO.ArchitectureFormat.Read(text)));
        const string innermost = "\"layers\":[{\"type\":\"relu\"}]";
        string deeper = text.Replace(innermost, $"\"layers\":[{{\"type\":\"block\",{innermost}}}]");
        Assert.NotEqual(text, deeper);
        Assert.Contains("nested 256 deep", Assert.Throws<FormatException>(() => IO.ArchitectureFormat.Read(deeper)).Message);

        static Sequential Deep(Sequential network, int depth) =>
            depth == 0 ? network.ReLU() : network.Residual(branch => Deep(branch, depth - 1));

        static Sequential DeepBlocks(Sequential network, int depth) =>
            depth == 0 ? network.ReLU() : network.Block(block => DeepBlocks(block, depth - 1));
    }
}
