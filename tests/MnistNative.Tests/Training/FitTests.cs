using System.Diagnostics;
using MnistNative.Tests.Api;

namespace MnistNative.Tests.Training;

public sealed class FitTests
{
    private static readonly FitOptions s_options = new() { Epochs = 3, BatchSize = 16, Optimizer = new Adam(5e-3f), Seed = 7 };

    [Fact]
    public async Task ANetworkLearns()
    {
        using Model model = Tiny.Network.Build(seed: 1);
        TrainingResult result = await model.FitAsync(
            Tiny.Bytes(300), s_options with { Epochs = 8, Validation = Tiny.Bytes(100, seed: 2) });
        Assert.Equal([1, 2, 3, 4, 5, 6, 7, 8], result.Epochs.Select(epoch => epoch.Epoch));
        Assert.True(result.Epochs[^1].Loss < result.Epochs[0].Loss / 2);
        Assert.True(result.Epochs[^1].Accuracy > 0.95);
        Assert.True(result.Epochs[^1].Validation!.Value.Accuracy > 0.95);
        Assert.Equal(model.Evaluate(Tiny.Bytes(100, seed: 2)), result.Epochs[^1].Validation);
        Assert.All(result.Epochs, epoch => Assert.True(epoch.ImagesPerSecond > 0 && epoch.Elapsed > TimeSpan.Zero));
        Assert.Equal(model.Device.Describe(), result.Device);
        Assert.True(result.Elapsed >= result.Epochs[0].Elapsed);
    }

    [Fact]
    public void FitIsALoopOfSteps()
    {
        // 45 = 2 × 16 + 13: the last batch is a small one.
        ImageDataset data = Tiny.Floats(45);
        using Model fitted = Tiny.Network.Build(seed: 1);
        TrainingResult result = fitted.Fit(data, s_options);

        using Model stepped = Tiny.Network.Build(seed: 1);
        using Trainer trainer = stepped.CreateTrainer(s_options.Optimizer, s_options.BatchSize);
        var order = new BatchOrder(data.Count, s_options.BatchSize, s_options.Seed!.Value);
        for (int epoch = 0; epoch < s_options.Epochs; epoch++)
        {
            order.StartEpoch(epoch);
            double losses = 0;
            for (int batch = 0; batch < order.BatchCount; batch++)
            {
                StepResult step = trainer.Step(data, order.GetBatch(batch));
                losses += step.Loss * step.Count;
            }

            Assert.Equal(losses / 45, result.Epochs[epoch].Loss, 1e-9);
        }

        Assert.Equal(Tiny.ParametersOf(stepped), Tiny.ParametersOf(fitted));
    }

    [Fact]
    public void DataInMemoryAndPulledDataTrainTheSame()
    {
        ImageDataset data = Tiny.Floats(45);
        using Model lent = Tiny.Network.Build(seed: 1);
        using Model pulled = Tiny.Network.Build(seed: 1);
        TrainingResult first = lent.Fit(data, s_options with { Validation = data });
        TrainingResult second = pulled.Fit(new PulledData(data), s_options with { Validation = new PulledData(data) });
        Assert.Equal(Tiny.ParametersOf(lent), Tiny.ParametersOf(pulled));
        Assert.Equal(first.Epochs.Select(epoch => epoch.Loss), second.Epochs.Select(epoch => epoch.Loss));
        Assert.Equal(first.Epochs.Select(epoch => epoch.Validation), second.Epochs.Select(epoch => epoch.Validation));
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(7)]
    public void TheNumberOfThreadsDoesNotMatter(int threads)
    {
        Assert.Equal(Train(1), Train(threads));

        static float[] Train(int threads)
        {
            using Device device = Device.Cpu(threads);
            using Model model = Tiny.Network.Build(seed: 1, device);
            model.Fit(Tiny.Bytes(100), s_options);
            return Tiny.ParametersOf(model);
        }
    }

    [Fact]
    public void TheSeedDecidesTheOrder()
    {
        Assert.Equal(Train(new FitOptions { Seed = 3 }), Train(new FitOptions { Seed = 3 }));
        Assert.NotEqual(Train(new FitOptions { Seed = 3 }), Train(new FitOptions { Seed = 4 }));
        Assert.NotEqual(Train(new FitOptions { Seed = 3 }), Train(new FitOptions { Shuffle = false }));
        Assert.Equal(Train(new FitOptions { Seed = 1 }), Train(new FitOptions()));

        static float[] Train(FitOptions options)
        {
            using Model model = Tiny.Network.Build(seed: 1);
            model.Fit(Tiny.Bytes(100), options with { BatchSize = 16 });
            return Tiny.ParametersOf(model);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    public async Task CancellationStopsWithinABatch(int afterReads)
    {
        using var cancellation = new CancellationTokenSource();
        ImageDataset source = Tiny.Floats(160);
        var data = new PulledData(source)
        {
            OnRead = read =>
            {
                if (read == afterReads)
                {
                    cancellation.Cancel();
                }
            },
        };
        using Model model = Tiny.Network.Build(seed: 1);
        Task<TrainingResult> task = model.FitAsync(data, s_options with { Epochs = 1000 }, null, cancellation.Token);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => task);
        Assert.True(task.IsCanceled);

        // One batch may be in work and two more may have been read ahead.
        Assert.InRange(data.Reads, afterReads, afterReads + 3);
        int reads = data.Reads;

        Assert.Equal(160, model.Evaluate(source).Count);
        TrainingResult again = await model.FitAsync(source, s_options, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(3, again.Epochs.Count);
        Assert.Equal(reads, data.Reads);
    }

    [Fact]
    public async Task ACancelledTokenPreventsTraining()
    {
        using Model model = Tiny.Network.Build(seed: 1);
        float[] before = Tiny.ParametersOf(model);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => model.FitAsync(Tiny.Bytes(10), cancellationToken: new CancellationToken(canceled: true)));
        Assert.Equal(before, Tiny.ParametersOf(model));
        Assert.Throws<OperationCanceledException>(() => model.Evaluate(Tiny.Bytes(10), new CancellationToken(canceled: true)));
    }

    [Fact]
    public async Task CancellingFromProgressKeepsTheLastStep()
    {
        using var cancellation = new CancellationTokenSource();
        using Model model = Tiny.Network.Build(seed: 1);
        float[]? atEpoch = null;
        var progress = new Relay<TrainingProgress>(value =>
        {
            if (value.Completed is { Epoch: 2 })
            {
                atEpoch = Tiny.ParametersOf(model);
                cancellation.Cancel();
            }
        });
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => model.FitAsync(Tiny.Bytes(50), s_options with { Epochs = 99 }, progress, cancellation.Token));
        Assert.Equal(atEpoch!, Tiny.ParametersOf(model));
    }

    [Fact]
    public async Task DisposingTheModelEndsItsTraining()
    {
        Model model = Tiny.Network.Build(seed: 1);
        var progress = new Relay<TrainingProgress>(_ => model.Dispose());
        await Assert.ThrowsAsync<ObjectDisposedException>(
            () => model.FitAsync(Tiny.Bytes(50), s_options with { Epochs = 1_000_000 }, progress));
    }

    [Fact]
    public void ProgressTellsEveryEpochAndNotTooMuch()
    {
        var reports = new List<TrainingProgress>();
        using Model model = Tiny.Network.Build(seed: 1);
        Stopwatch clock = Stopwatch.StartNew();
        TrainingResult result = model.Fit(
            Tiny.Bytes(200), s_options with { Epochs = 30, BatchSize = 2 }, new Relay<TrainingProgress>(reports.Add));
        Assert.Equal(result.Epochs, reports.Select(report => report.Completed).OfType<EpochResult>());
        Assert.InRange(reports.Count(report => report.Completed is null), 0, (int)(clock.Elapsed.TotalSeconds * 10) + 1);
        Assert.All(reports, report =>
        {
            Assert.Equal(100, report.Batches);
            Assert.Equal(30, report.Epochs);
            Assert.InRange(report.Batch, 1, 100);
            Assert.True(double.IsFinite(report.Loss) && report.ImagesPerSecond > 0);
        });
    }

    [Fact]
    public async Task ASecondTrainingIsRefusedAndPredictionsAreNot()
    {
        using var inside = new ManualResetEventSlim();
        using var go = new ManualResetEventSlim();
        ImageDataset source = Tiny.Floats(64);
        var data = new PulledData(source)
        {
            OnRead = _ =>
            {
                inside.Set();
                go.Wait(TimeSpan.FromSeconds(30));
            },
        };
        using Model model = Tiny.Network.Build(seed: 1);
        Task<TrainingResult> first = model.FitAsync(data, s_options);
        inside.Wait(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        await Assert.ThrowsAsync<InvalidOperationException>(() => model.FitAsync(source, s_options));
        Assert.Throws<InvalidOperationException>(() => model.CreateTrainer(new Adam()));
        Assert.Equal(64, model.PredictAll(source.FloatImages.Span).Length);
        go.Set();
        await first;
        await model.FitAsync(source, s_options);
    }

    [Fact]
    public async Task AnErrorOfTheDataEndsTrainingAndIsPassedOn()
    {
        var data = new PulledData(Tiny.Floats(160))
        {
            OnRead = read => _ = read == 4 ? throw new IOException("the disk is gone") : 0,
        };
        using Model model = Tiny.Network.Build(seed: 1);
        IOException e = await Assert.ThrowsAsync<IOException>(() => model.FitAsync(data, s_options));
        Assert.Equal("the disk is gone", e.Message);

        // The three batches before were trained on, and the model is free.
        using Model expected = Tiny.Network.Build(seed: 1);
        using (Trainer trainer = expected.CreateTrainer(s_options.Optimizer, s_options.BatchSize))
        {
            var order = new BatchOrder(160, s_options.BatchSize, s_options.Seed!.Value);
            for (int i = 0; i < 3; i++)
            {
                trainer.Step(Tiny.Floats(160), order.GetBatch(i));
            }
        }

        Assert.Equal(Tiny.ParametersOf(expected), Tiny.ParametersOf(model));
        model.Fit(Tiny.Floats(20));
    }

    [Fact]
    public async Task ManyThreadsMayPredictAtOnce()
    {
        float[] images = Tiny.ReadAll(Tiny.Bytes(40));
        using Model model = Tiny.Network.Build(seed: 1);
        float[] expected = model.ForwardAll(images);
        await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(() =>
        {
            for (int i = 0; i < 50; i++)
            {
                Assert.Equal(expected, model.ForwardAll(images));
            }
        })));
    }

    [Fact]
    public async Task TwoModelsMayTrainAtOnce()
    {
        float[] expected = Train();
        float[][] results = await Task.WhenAll(Task.Run(Train), Task.Run(Train));
        Assert.All(results, result => Assert.Equal(expected, result));

        static float[] Train()
        {
            using Model model = Tiny.Network.Build(seed: 1);
            model.Fit(Tiny.Bytes(100), s_options);
            return Tiny.ParametersOf(model);
        }
    }

    [Fact]
    public async Task PredictionsDuringTrainingSeeWholeSteps()
    {
        ImageDataset data = Tiny.Floats(64);
        using Model model = Tiny.Network.Build(seed: 1);
        Task<TrainingResult> training = model.FitAsync(data, s_options with { Epochs = 30 });
        while (!training.IsCompleted)
        {
            Assert.All(model.ForwardAll(data.FloatImages.Span), value => Assert.True(float.IsFinite(value)));
        }

        await training;
    }

    [Fact]
    public void WrongOptionsAreRefused()
    {
        using Model model = Tiny.Network.Build();
        ImageDataset data = Tiny.Bytes(5);
        Assert.Throws<ArgumentOutOfRangeException>(() => model.Fit(data, new FitOptions { Epochs = 0 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => model.Fit(data, new FitOptions { BatchSize = 0 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => model.Fit(data, new FitOptions { Optimizer = new Adam(-1) }));
        Assert.Throws<ArgumentNullException>(() => model.Fit(null!));
    }
}
