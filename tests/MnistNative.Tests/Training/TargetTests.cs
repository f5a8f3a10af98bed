using MnistNative.Tests.Api;

namespace MnistNative.Tests.Training;

public sealed class TargetTests
{
    private static readonly Sequential s_network = Sequential.Input(1, 8, 8).Flatten().Linear(6).Tanh().Linear(2);

    [Fact]
    public void FitWithValuesIsALoopOfSteps()
    {
        (float[] images, float[] targets) = Values(21);
        foreach (Loss loss in new[] { Loss.Mse(), Loss.L1(), Loss.Huber(0.5f), Loss.BceWithLogits(), Loss.Mse(Reduction.Sum) })
        {
            ImageDataset data = ImageDataset.FromMemory(images, targets, new ImageShape(1, 8, 8));
            using Model fitted = s_network.Build(seed: 1);
            TrainingResult result = fitted.Fit(data, new FitOptions
            {
                Epochs = 2,
                BatchSize = 8,
                Optimizer = new Adam(0.01f),
                Loss = loss,
                Seed = 4,
                Validation = data.Take(9),
            });

            using Model stepped = s_network.Build(seed: 1);
            using Trainer trainer = stepped.CreateTrainer(new Adam(0.01f), 8, loss);
            var order = new BatchOrder(21, 8, seed: 4);
            for (int epoch = 0; epoch < 2; epoch++)
            {
                order.StartEpoch(epoch);
                for (int batch = 0; batch < order.BatchCount; batch++)
                {
                    int[] indices = [.. order.GetBatch(batch)];
                    trainer.Step(
                        [.. indices.SelectMany(i => images[(i * 64)..((i + 1) * 64)])],
                        (ReadOnlySpan<float>)[.. indices.SelectMany(i => targets[(i * 2)..((i + 1) * 2)])]);
                }
            }

            Assert.Equal(Tiny.ParametersOf(stepped), Tiny.ParametersOf(fitted));
            Assert.True(result.Epochs[1].Loss < result.Epochs[0].Loss);
            Assert.Equal(
                stepped.Evaluate(images.AsSpan(0, 9 * 64), targets.AsSpan(0, 18), loss),
                result.Epochs[1].Validation!.Value.Loss, 1e-6);
            Assert.Null(result.Epochs[1].Accuracy);
            Assert.Null(result.Epochs[1].Validation!.Value.Accuracy);
            Assert.DoesNotContain("accuracy", result.ToString());
        }
    }

    [Fact]
    public void AStepOnADataSetTakesItsTargets()
    {
        (float[] images, float[] targets) = Values(4);
        var shape = new ImageShape(1, 8, 8);
        ImageDataset data = ImageDataset.FromMemory(images, targets, shape);
        using Model one = s_network.Build(seed: 1);
        using Model two = s_network.Build(seed: 1);
        using Trainer ofData = one.CreateTrainer(new Sgd(0.1f), 4, Loss.Mse());
        using Trainer ofArrays = two.CreateTrainer(new Sgd(0.1f), 4, Loss.Mse());
        float[] chosen = [.. images[128..192], .. images[0..64]];
        float[] values = [.. targets[4..6], .. targets[0..2]];
        Assert.Equal(ofArrays.Step(images, targets), ofData.Step(data, [0, 1, 2, 3]));
        Assert.Equal(ofArrays.Accumulate(chosen, values), ofData.Accumulate(data, [2, 0]));
        ofArrays.Apply();
        ofData.Apply();
        Assert.Equal(Tiny.ParametersOf(two), Tiny.ParametersOf(one));

        Assert.ThrowsAny<ArgumentException>(() => ofData.Step(data, [4]));
        ImageDataset narrow = ImageDataset.FromMemory(images, targets.AsMemory(0, 4), shape);
        Assert.Contains("the data set has 1", Assert.Throws<ArgumentException>(() => ofData.Step(narrow, [0])).Message);
        Assert.Contains(
            "the data set has 0", Assert.Throws<ArgumentException>(() => ofData.Step(new PulledData(data), [0])).Message);
    }

    [Fact]
    public void PartsKeepTheirTargets()
    {
        (float[] images, float[] targets) = Values(10);
        byte[] bytes = [.. images.Select(value => (byte)(value * 255))];
        foreach (ImageDataset data in new[]
        {
            ImageDataset.FromMemory(images, targets, new ImageShape(1, 8, 8)),
            ImageDataset.FromMemory(bytes, targets, new ImageShape(1, 8, 8)),
        })
        {
            Assert.Equal(2, data.TargetLength);
            Assert.Equal(targets, data.Targets.ToArray());
            Assert.Equal(targets[6..14], data.Slice(3, 4).Targets.ToArray());
            Assert.Equal([.. targets[10..12], .. targets[2..4]], data.Subset([5, 1]).Targets.ToArray());
            Assert.Equal(16, data.Split(0.2, seed: 1).Train.Targets.Length);
        }

        Assert.Equal(0, Tiny.Floats(3).TargetLength);
    }

    [Fact]
    public void TargetsThatDoNotFitAreRefused()
    {
        (float[] images, float[] targets) = Values(4);
        var shape = new ImageShape(1, 8, 8);
        Assert.Contains("7 target", Assert.Throws<ArgumentException>(() => ImageDataset.FromMemory(images, targets.AsMemory(0, 7), shape)).Message);
        Assert.Throws<ArgumentException>(() => ImageDataset.FromMemory(images, ReadOnlyMemory<float>.Empty, shape));
        Assert.Throws<ArgumentException>(() => ImageDataset.FromMemory(images.AsMemory(0, 65), targets, shape));
        using Model model = s_network.Build(seed: 1);
        var options = new FitOptions { Loss = Loss.Mse() };
        ImageDataset narrow = ImageDataset.FromMemory(images, targets.AsMemory(0, 4), shape);
        ArgumentException refusal = Assert.Throws<ArgumentException>(() => model.Fit(narrow, options));
        Assert.Contains("compares 2 values an image, the data set has 1", refusal.Message);
        ImageDataset good = ImageDataset.FromMemory(images, targets, shape);
        Assert.Throws<ArgumentException>(() => model.Fit(good, options with { Validation = narrow }));
        Assert.Throws<ArgumentException>(() => model.Evaluate(narrow, Loss.L1()));
        Assert.Throws<ArgumentException>(() => model.Fit(good, options with { Loss = Loss.OutputGradient() }));
    }

    [Fact]
    public void DataWithTargetsChoosesTheLoss()
    {
        (float[] images, float[] targets) = Values(12);
        ImageDataset data = ImageDataset.FromMemory(images, targets, new ImageShape(1, 8, 8));
        using Model chosen = s_network.Build(seed: 1);
        using Model named = s_network.Build(seed: 1);
        TrainingResult result = chosen.Fit(data, new FitOptions { Validation = data });
        Assert.Equal(named.Fit(data, new FitOptions { Loss = Loss.Mse() }).Epochs[0].Loss, result.Epochs[0].Loss);
        Assert.Equal(Tiny.ParametersOf(named), Tiny.ParametersOf(chosen));
        Assert.Equal(chosen.Evaluate(data, Loss.Mse()), chosen.Evaluate(data));
        Assert.Equal(chosen.Evaluate(data), result.Epochs[0].Validation);

        float[] before = Tiny.ParametersOf(chosen);
        foreach (Action wrong in (Action[])[
            () => chosen.Fit(data, new FitOptions { Loss = Loss.CrossEntropy() }),
            () => chosen.Fit(data, new FitOptions { Loss = Loss.Nll() }),
            () => chosen.Evaluate(data, Loss.CrossEntropy()),
            () => chosen.EvaluateReport(data),
        ])
        {
            Assert.Contains("no labels", Assert.Throws<ArgumentException>(wrong).Message);
        }

        using Trainer trainer = chosen.CreateTrainer(new Adam(), 4);
        Assert.Contains("no labels", Assert.Throws<ArgumentException>(() => trainer.Step(data, [0, 1])).Message);
        Assert.Equal(before, Tiny.ParametersOf(chosen));
    }

    [Fact]
    public void WatchingAnAccuracyThatThereIsNotIsRefused()
    {
        (float[] images, float[] targets) = Values(4);
        ImageDataset data = ImageDataset.FromMemory(images, targets, new ImageShape(1, 8, 8));
        using Model model = s_network.Build(seed: 1);
        var options = new FitOptions { Validation = data, EarlyStopping = new EarlyStopping(Monitor: EarlyStoppingMetric.ValidationAccuracy) };
        Assert.Contains("a loss of values has none", Assert.Throws<ArgumentException>(() => model.Fit(data, options)).Message);
        Assert.Throws<ArgumentOutOfRangeException>(
            () => model.Fit(data, options with { EarlyStopping = new EarlyStopping(Monitor: (EarlyStoppingMetric)7) }));
        Assert.Throws<ArgumentException>(() => model.Fit(data, new FitOptions { BestModel = "best.safetensors" }));
    }

    private static (float[] Images, float[] Targets) Values(int count)
    {
        var random = new Random(7);
        float[] images = [.. Enumerable.Range(0, count * 64).Select(_ => random.NextSingle())];
        float[] targets = new float[count * 2];
        for (int i = 0; i < count; i++)
        {
            targets[2 * i] = images[64 * i];
            targets[(2 * i) + 1] = (images[(64 * i) + 1] + images[(64 * i) + 2]) / 2;
        }

        return (images, targets);
    }
}
