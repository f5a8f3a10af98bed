using MnistNative.Tests.Api;

namespace MnistNative.Tests.Training;

/// <summary>What counts in losses and accuracies, and what is never right.</summary>
public sealed class CountingTests
{
    private static readonly float[] s_scores = [1, 2, 3, .4f, 9, 9, 9, 9, 0, 1, 1, 0];
    private static readonly int[] s_labels = [1, 0, -100, -100, 1, 1];

    [Fact]
    public void ABatchWithoutALabelThatCountsLeavesTheEpochAlone()
    {
        var loss = Loss.CrossEntropy(ignoreIndex: -100);
        ImageDataset data = ImageDataset.FromMemory(s_scores, s_labels, new ImageShape(2, 1, 1), 2);
        foreach (IImageDataset given in new IImageDataset[] { data, new PulledData(data) })
        {
            using Model model = Sequential.Input(2, 1, 1).Scale(1).Flatten().Build();
            var progress = new List<TrainingProgress>();
            TrainingResult result = model.Fit(
                given,
                new FitOptions { BatchSize = 2, Shuffle = false, Optimizer = new Sgd(0f), Loss = loss, Validation = given },
                new Relay<TrainingProgress>(progress.Add));
            Assert.Equal(0.5028574, result.Epochs[0].Loss, 1e-6);
            Assert.Equal(result.Epochs[0].Validation!.Value.Loss, result.Epochs[0].Loss);
            Assert.Equal(result.Epochs[0].Loss, progress[^1].Loss);

            // Right are images 0, 1 and 4 of the four that count.
            Assert.Equal(0.75, result.Epochs[0].Accuracy);
            Assert.Equal(new EvaluationResult(6, 3, result.Epochs[0].Loss, 4), result.Epochs[0].Validation);
            Assert.Equal(0.75, progress[^1].Accuracy);

            EvaluationReport report = model.EvaluateReport(given, loss);
            Assert.Equal((4, 0.75), (report.Count, report.Accuracy));
            Assert.Equal(3, report.Support(1));
        }
    }

    [Fact]
    public void AnEpochsLossIsTheMeanOverImages()
    {
        // Squared errors 10, 10 and 9: the mean of the batches' means would be 9.5.
        using Model model = Sequential.Input(1).Linear(1, bias: false).Build();
        model.SetParameter("0.weight", [0f]);
        float root = MathF.Sqrt(10);
        ImageDataset data = ImageDataset.FromMemory(new float[] { 1, 1, 1 }, new[] { root, root, 3f }, model.InputShape);
        foreach ((Reduction reduction, double expected) in new[] { (Reduction.Mean, 29.0 / 3), (Reduction.Sum, 29.0) })
        {
            foreach (bool callback in new[] { false, true })
            {
                TrainingResult result = model.Fit(data, new FitOptions
                {
                    BatchSize = 2,
                    Shuffle = false,
                    Optimizer = new Sgd(0f),
                    Loss = Loss.Mse(reduction),
                    OnBatch = callback ? _ => { } : null,
                });
                Assert.Equal(expected, result.Epochs[0].Loss, 1e-5);
                Assert.Equal(model.Evaluate(data, Loss.Mse(reduction)).Loss, result.Epochs[0].Loss);
            }
        }
    }

    [Fact]
    public void ClassWeightsWeighInTheEpochsMean()
    {
        var loss = Loss.CrossEntropy(classWeights: [1, 5], labelSmoothing: 0.1f, ignoreIndex: -100);
        ImageDataset data = ImageDataset.FromMemory(s_scores, s_labels, new ImageShape(2, 1, 1), 2);
        using Model model = Sequential.Input(2, 1, 1).Scale(1).Flatten().Build();
        TrainingResult result = model.Fit(
            data, new FitOptions { BatchSize = 4, Shuffle = false, Optimizer = new Sgd(0f), Loss = loss });
        Assert.Equal(model.Evaluate(data, loss).Loss, result.Epochs[0].Loss, 1e-12);
    }

    [Fact]
    public void NothingThatCountsHasNoAccuracyAndDoesNotDiverge()
    {
        var loss = Loss.CrossEntropy(ignoreIndex: 255);
        ImageDataset data = ImageDataset.FromMemory(new float[] { 1, 2, 3, 4 }, new byte[] { 255, 255 }, new ImageShape(2, 1, 1), 2);
        using Model model = Sequential.Input(2, 1, 1).Scale(1).Flatten().Build();
        TrainingResult result = model.Fit(data, new FitOptions { Loss = loss, Epochs = 2, Validation = data });
        Assert.Equal(2, result.Epochs.Count);
        Assert.Null(result.Epochs[0].Accuracy);
        Assert.True(double.IsNaN(result.Epochs[0].Loss));
        Assert.Equal("loss NaN", model.Evaluate(data, loss).ToString());
    }

    [Fact]
    public void LabelsThatALossIgnoresMayBeAnything()
    {
        var shape = new ImageShape(1, 1, 2);
        byte[] pixels = [1, 2, 3, 4, 5, 6];
        using Model model = Sequential.Input(shape).Flatten().Linear(3).Build();
        ImageDataset negative = ImageDataset.FromMemory(pixels, new[] { 0, -100, 2 }, shape, 3);
        model.Fit(negative, new FitOptions { Loss = Loss.CrossEntropy(ignoreIndex: -100) });
        ImageDataset bytes = ImageDataset.FromMemory(pixels, new byte[] { 0, 255, 2 }, shape, 3);
        model.Fit(bytes, new FitOptions { Loss = Loss.CrossEntropy(ignoreIndex: 255) });
        Assert.Equal(2, model.Evaluate(bytes, Loss.CrossEntropy(ignoreIndex: 255)).LabelCount);
        Assert.Equal(3, bytes.ClassCount);

        float[] before = Tiny.ParametersOf(model);
        foreach (Action wrong in (Action[])[
            () => model.Fit(negative),
            () => model.Fit(negative, new FitOptions { Loss = Loss.CrossEntropy(ignoreIndex: 255) }),
            () => model.Fit(Zeros(3), new FitOptions { Validation = negative }),
            () => model.Evaluate(negative),
            () => model.EvaluateReport(negative),
        ])
        {
            string message = Assert.Throws<ArgumentException>(wrong).Message;
            Assert.Contains("Labels must be in 0 to 2", message);
            Assert.Contains("label 1 is -100", message);
        }

        // Data that is read batch by batch is checked by the batch.
        Assert.Contains("is -100, outside 0 to 2", Assert.Throws<ArgumentException>(() => model.Evaluate(new PulledData(negative))).Message);
        Assert.Contains("label 1 is -100", Assert.Throws<ArgumentException>(() => model.EvaluateReport(new PulledData(negative))).Message);
        Assert.Equal(before, Tiny.ParametersOf(model));

        ImageDataset Zeros(int count) => ImageDataset.FromMemory(new byte[2 * count], new byte[count], shape, 3);
    }

    [Fact]
    public void ARowWithNaNIsNeverRight()
    {
        using Model model = Sequential.Input(3, 1, 1).Scale(1).Flatten().Build();
        foreach (float[] row in new float[][] { [0.1f, float.NaN, 0.3f], [float.NaN, 1, 2], [1, 2, float.NaN], [float.NaN, float.NaN, float.NaN] })
        {
            Assert.Equal([-1], model.Predict(row));
            Assert.All(model.PredictProbabilities(row), value => Assert.True(float.IsNaN(value)));
            for (int label = 0; label < 3; label++)
            {
                ImageDataset data = ImageDataset.FromMemory(row, new[] { label }, model.InputShape, 3);
                Assert.Equal(0, model.Evaluate(data).Correct);
                EvaluationReport report = model.EvaluateReport(data);
                Assert.Equal((1, 1, 0.0, 0.0), (report.Count, report.Unclassified, report.Accuracy, report.TopK(3)));
                Assert.All(report.ConfusionMatrix().Cast<int>(), count => Assert.Equal(0, count));
                Assert.Equal((1, 0.0), (report.Support(label), report.Recall(label)));
                using Trainer trainer = model.CreateTrainer(new Sgd(0f), 1);
                Assert.Equal(0, trainer.Step(row, [label]).Correct);
            }
        }

        // The network's own softmax, and infinity, which is a number.
        using Model softmax = Sequential.Input(3, 1, 1).Scale(1).Flatten().Softmax().Build();
        Assert.Equal([-1], softmax.Predict([0.1f, float.NaN, 0.3f]));
        Assert.All(softmax.PredictProbabilities([0.1f, float.NaN, 0.3f]), value => Assert.True(float.IsNaN(value)));
        using Model plain = Sequential.Input(3, 1, 1).Flatten().Build();
        Assert.Equal([1], plain.Predict([0, float.PositiveInfinity, float.NegativeInfinity]));
    }
}
