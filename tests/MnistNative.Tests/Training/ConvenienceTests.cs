using MnistNative.Tests.Api;

namespace MnistNative.Tests.Training;

/// <summary>Losses with targets, groups of parameters, clipping, early stopping, reports and callbacks.</summary>
public sealed class ConvenienceTests
{
    [Fact]
    public void LossesOfValuesTrain()
    {
        foreach (Loss loss in (Loss[])[Loss.Mse(), Loss.L1(), Loss.Huber(0.5f), Loss.BceWithLogits()])
        {
            using Model model = Sequential.Input(1, 4, 4).Conv2d(2, kernel: 3, padding: 1).Build(seed: 3);
            var random = new Random(1);
            float[] images = [.. Enumerable.Range(0, 3 * 16).Select(_ => random.NextSingle())];
            float[] targets = [.. Enumerable.Range(0, 3 * 32).Select(_ => random.NextSingle())];
            using Trainer trainer = model.CreateTrainer(new Adam(0.05f), 3, loss);
            double before = model.Evaluate(images, targets, loss);
            Assert.Equal(before, trainer.Step(images, targets).Loss, 1e-6);
            for (int i = 0; i < 50; i++)
            {
                trainer.Step(images, targets);
            }

            Assert.True(model.Evaluate(images, targets, loss) < before);
            Assert.Throws<ArgumentException>(() => trainer.Step(images, targets.AsSpan(1)));
        }
    }

    [Fact]
    public void ResultsAreReadAsText()
    {
        var evaluation = new EvaluationResult(Count: 10_000, Correct: 9_860, Loss: 0.03971234, LabelCount: 10_000);
        Assert.Equal("loss 0.0397, accuracy 98.60%", evaluation.ToString());
        Assert.Equal("loss 0.1285, accuracy 96.88%", new StepResult(0.1285, Correct: 62, Count: 64, LabelCount: 64).ToString());
        Assert.Equal("loss 0.1285", new StepResult(0.1285, Correct: 0, Count: 64, LabelCount: 0).ToString());
        var epoch = new EpochResult(2, Loss: 0.12, Accuracy: 0.9622, Validation: null, TimeSpan.FromSeconds(1.46), 40_187.4);
        Assert.Equal("epoch 2: loss 0.1200, accuracy 96.22%, 1.5 s, 40,187 images/s", epoch.ToString());
        Assert.Equal(
            "epoch 2: loss 0.1200, accuracy 96.22%, validation loss 0.0397, accuracy 98.60%, 1.5 s, 40,187 images/s",
            (epoch with { Validation = evaluation }).ToString());
        var device = new DeviceInfo(DeviceKind.Cpu, 0, "Processor", "avx2", Threads: 2, MemoryBytes: 0);
        Assert.Equal(
            $"{epoch}{Environment.NewLine}1 epoch in 3.0 s on cpu: Processor (avx2, 2 threads)",
            new TrainingResult([epoch], TimeSpan.FromSeconds(3), device).ToString());
    }

    [Fact]
    public void IgnoredLabelsDoNotCount()
    {
        using Model model = Tiny.Network.Build(seed: 1);
        ImageDataset data = Tiny.Floats(8);
        float[] images = Tiny.ReadAll(data);
        int[] labels = data.Labels.ToArray();
        int[] some = [.. labels.Select((label, i) => i % 2 == 0 ? label : -100)];
        float[] half = [.. Enumerable.Range(0, 8).Where(i => i % 2 == 0).SelectMany(i => images[(i * 64)..((i + 1) * 64)])];
        using Trainer trainer = model.CreateTrainer(new Sgd(0), 8, Loss.CrossEntropy(ignoreIndex: -100));
        double loss = trainer.Accumulate(images, some).Loss;
        Assert.Equal(loss, trainer.Accumulate(half, labels.Where((_, i) => i % 2 == 0).ToArray()).Loss, 1e-6);
    }

    [Fact]
    public void GroupsAreFrozenOrTrainedOtherwise()
    {
        using Model model = Tiny.Network.Build(seed: 1);
        string[] names = [.. model.Parameters.Select(parameter => parameter.Name)];
        float[][] before = [.. names.Select(model.GetParameter)];
        model.Fit(Tiny.Bytes(16), new FitOptions
        {
            BatchSize = 16,
            Optimizer = new Sgd(0.1f),
            ParameterGroups =
            [
                ParameterGroup.Freeze(names[0]),
                ParameterGroup.Named(names[^1]) with { LearningRateFactor = 0 },
            ],
        });
        Assert.Equal(before[0], model.GetParameter(names[0]));
        Assert.Equal(before[^1], model.GetParameter(names[^1]));
        Assert.NotEqual(before[1], model.GetParameter(names[1]));
    }

    [Fact]
    public void AGroupOfNoParameterIsRefused()
    {
        using Model model = Tiny.Network.Build(seed: 1);
        var options = new FitOptions { ParameterGroups = [ParameterGroup.Freeze("fetaures.")] };
        ArgumentException refused = Assert.Throws<ArgumentException>(() => model.Fit(Tiny.Bytes(4), options));
        Assert.Contains("\"fetaures.\"", refused.Message);
        Assert.Contains(model.Parameters[0].Name, refused.Message);

        // A function may choose none.
        model.Fit(Tiny.Bytes(4), options with { ParameterGroups = [ParameterGroup.Freeze(_ => false)] });
    }

    [Theory]
    [InlineData(-1f, 1f)]
    [InlineData(float.NaN, 1f)]
    [InlineData(0.1f, -1f)]
    [InlineData(0.1f, float.PositiveInfinity)]
    public void GroupsWithNumbersOutOfRangeAreRefused(float weightDecay, float factor)
    {
        ParameterGroup group = ParameterGroup.Named("0.") with { WeightDecay = weightDecay, LearningRateFactor = factor };
        using Model model = Tiny.Network.Build(seed: 1);
        Assert.Throws<ArgumentOutOfRangeException>(() => model.Fit(Tiny.Bytes(4), new FitOptions { ParameterGroups = [group] }));
        Assert.Throws<ArgumentOutOfRangeException>(
            () => model.CreateTrainer(new AdamW(), 4, new TrainerOptions { ParameterGroups = [group] }));
        model.Fit(Tiny.Bytes(4), new FitOptions { ParameterGroups = [group with { WeightDecay = 0, LearningRateFactor = 0 }] });
    }

    [Fact]
    public void AFrozenBodyKeepsItsStatisticsOnRequest()
    {
        Sequential network = Sequential.Input(1, 8, 8)
            .Block("body", body => body.Conv2d(4, kernel: 3).BatchNorm2d().ReLU().GlobalAvgPool2d().Flatten())
            .Linear(10, name: "head");
        ImageDataset data = Tiny.Bytes(16);
        Assert.Equal((1f, true), Train(ParameterGroup.Freeze("body.")));
        Assert.Equal((0f, true), Train(ParameterGroup.Freeze("body.", statistics: true)));
        Assert.Equal((0f, false), Train(ParameterGroup.Named("body.") with { FrozenStatistics = true }));

        // The batches that were counted, and whether the body's parameters stayed.
        (float Batches, bool Same) Train(ParameterGroup group)
        {
            using Model model = network.Build(seed: 1);
            float[] before = model.GetParameter("body.0.weight");
            float[] head = model.GetParameter("head.weight");
            float[] mean = model.GetParameter("body.1.running_mean");
            model.Fit(data, new FitOptions { BatchSize = 16, Optimizer = new Sgd(0.1f), ParameterGroups = [group] });
            Assert.NotEqual(head, model.GetParameter("head.weight"));
            float batches = model.GetParameter("body.1.num_batches_tracked")[0];
            Assert.Equal(batches == 0, mean.SequenceEqual(model.GetParameter("body.1.running_mean")));
            return (batches, before.SequenceEqual(model.GetParameter("body.0.weight")));
        }
    }

    [Fact]
    public void ClippingBoundsTheStep()
    {
        using Model model = Tiny.Network.Build(seed: 1);
        float[] before = Tiny.ParametersOf(model);
        using Trainer trainer = model.CreateTrainer(new Sgd(1), 16, new TrainerOptions { ClipNorm = 1e-3f });
        ImageDataset data = Tiny.Bytes(16);
        trainer.Step(data, [.. Enumerable.Range(0, 16)]);
        double moved = NormWise.Norm(NormWise.Difference(Tiny.ParametersOf(model), before));
        Assert.Equal(1e-3, moved, 2e-5);
        Assert.Throws<ArgumentOutOfRangeException>(
            () => model.CreateTrainer(new Sgd(1), 1, new TrainerOptions { ClipValue = 0 }));
    }

    [Fact]
    public void EarlyStoppingKeepsTheBest()
    {
        using Model model = Tiny.Network.Build(seed: 1);
        ImageDataset validation = Tiny.Bytes(30, seed: 2);
        var epochs = new List<EpochResult>();
        TrainingResult result = model.Fit(Tiny.Bytes(30), new FitOptions
        {
            Epochs = 60,
            BatchSize = 10,
            Optimizer = new Sgd(0.2f),
            Validation = validation,
            EarlyStopping = new EarlyStopping(Patience: 2, MinDelta: 0.05),
            OnEpoch = epochs.Add,
        });
        Assert.True(result.StoppedEarly);
        Assert.Equal(result.Epochs, epochs);
        Assert.Equal(result.Epochs.Count - 2, result.BestEpoch);
        Assert.Equal(result.Epochs[result.BestEpoch!.Value - 1].Validation!.Value.Loss, model.Evaluate(validation).Loss, 1e-9);
        Assert.Throws<ArgumentException>(
            () => model.Fit(validation, new FitOptions { EarlyStopping = new EarlyStopping() }));
    }

    [Fact]
    public void TrainingMayGoOnUntilItStopsEarly()
    {
        ImageDataset data = Tiny.Bytes(20);
        foreach (LearningRateSchedule? schedule in (LearningRateSchedule?[])[
            null, new StepLr(1), new CosineAnnealingLr(), new OneCycleLr(), new LinearWarmup(3, 0.5, new ReduceOnPlateau())])
        {
            using Model model = Tiny.Network.Build(seed: 1);
            TrainingResult result = model.Fit(data, new FitOptions
            {
                Epochs = int.MaxValue,
                BatchSize = 5,
                Schedule = schedule,
                Validation = data,
                EarlyStopping = new EarlyStopping(Patience: 2, MinDelta: 100),
            });
            Assert.Equal((3, true), (result.Epochs.Count, result.StoppedEarly));
        }
    }

    [Fact]
    public void AReportCounts()
    {
        using Model model = Sequential.Input(1, 1, 3).Flatten().Build();
        float[] scores = [3, 2, 1, 3, 2, 1, 1, 2, 3, 2, 2, 1];
        int[] labels = [0, 1, 2, 1];
        EvaluationReport report = model.EvaluateReport(
            ImageDataset.FromMemory(scores, labels, new ImageShape(1, 1, 3), 3));
        Assert.Equal(4, report.Count);
        Assert.Equal(0.5, report.Accuracy);
        Assert.Equal(1, report.TopK(2));
        Assert.Equal(2, report.Confusion(1, 0));
        Assert.Equal(new[,] { { 1, 0, 0 }, { 2, 0, 0 }, { 0, 0, 1 } }, report.ConfusionMatrix());
        Assert.Equal([1.0 / 3, 0, 1], Enumerable.Range(0, 3).Select(report.Precision));
        Assert.Equal([1.0, 0, 1], Enumerable.Range(0, 3).Select(report.Recall));
        Assert.Throws<ArgumentOutOfRangeException>(() => report.TopK(4));
    }
}
