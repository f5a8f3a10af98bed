using System.Diagnostics;
using MnistNative.Tests.Api;
using MnistNative.Tests.Data;

namespace MnistNative.Tests.Training;

/// <summary>Last batches, stopping, cancelling, and what is kept.</summary>
public sealed class EndingTests
{
    // A tenth of a second on a machine that has nothing else to do; the reads sleep for a minute.
    private static readonly TimeSpan s_soon = TimeSpan.FromSeconds(5);

    private static readonly Sequential s_normalised = Sequential.Input(8).Linear(4).BatchNorm1d().ReLU().Linear(2);

    [Theory]
    [InlineData(65, 64, new[] { 65 })]
    [InlineData(9, 4, new[] { 4, 5 })]
    [InlineData(10, 4, new[] { 4, 4, 2 })]
    [InlineData(3, 2, new[] { 3 })]
    public void ASingleImageThatIsLeftJoinsTheBatchBefore(int count, int batchSize, int[] batches)
    {
        using Model model = s_normalised.Build(seed: 1);
        ImageDataset data = Features(count);
        foreach (IImageDataset given in new IImageDataset[] { data, new PulledData(data) })
        {
            var counts = new List<int>();
            TrainingResult result = model.Fit(given, new FitOptions
            {
                Epochs = 2,
                BatchSize = batchSize,
                OnBatch = batch =>
                {
                    Assert.Equal(batches.Length, batch.Batches);
                    counts.Add(batch.Step.Count);
                },
            });
            Assert.Equal([.. batches, .. batches], counts);
            Assert.Equal(count, batches.Sum());
            Assert.True(double.IsFinite(result.Epochs[1].Loss));
        }
    }

    [Fact]
    public void OnlyABatchNormalisationOfOneValueNeedsIt()
    {
        // One value a channel: behind Linear, or of 1×1 pixels. Not with frozen statistics, and not of larger planes.
        Sequential pixel = Sequential.Input(1, 2, 2).Conv2d(3, 2).BatchNorm2d().Flatten().Linear(2);
        Sequential plane = Sequential.Input(1, 4, 4).Conv2d(3, 3).BatchNorm2d().Flatten().Linear(2);
        Assert.Equal([2, 3], Counts(pixel, new FitOptions()));
        Assert.Equal([2, 2, 1], Counts(plane, new FitOptions()));
        Assert.Equal([2, 2, 1], Counts(pixel, new FitOptions { ParameterGroups = [ParameterGroup.Freeze("1.", statistics: true)] }));

        static List<int> Counts(Sequential network, FitOptions options)
        {
            var counts = new List<int>();
            using Model model = network.Build(seed: 1);
            int length = model.InputShape.Length;
            float[] images = [.. Enumerable.Range(0, 5 * length).Select(i => i * 37 % 64 / 64f)];
            ImageDataset data = ImageDataset.FromMemory(images, new byte[] { 0, 1, 0, 1, 0 }, model.InputShape, 2);
            model.Fit(data, options with { BatchSize = 2, OnBatch = batch => counts.Add(batch.Step.Count) });
            return counts;
        }
    }

    [Theory]
    [InlineData(5, 1)]
    [InlineData(1, 64)]
    public void BatchesOfOneAreRefusedBeforeTheFirstStep(int count, int batchSize)
    {
        using Model model = s_normalised.Build(seed: 1);
        float[] before = Tiny.ParametersOf(model);
        var e = Assert.Throws<ArgumentException>(() => model.Fit(Features(count), new FitOptions { BatchSize = batchSize }));
        Assert.Contains("BatchNorm1d \"1\"", e.Message);
        Assert.Contains($"BatchSize is {batchSize} and the data set has {count} images", e.Message);
        Assert.Equal(before, Tiny.ParametersOf(model));
    }

    [Fact]
    public async Task CancellingDoesNotWaitForARead()
    {
        using var inRead = new ManualResetEventSlim();
        using var wake = new ManualResetEventSlim();
        ImageDataset source = Tiny.Floats(64);
        var data = new PulledData(source)
        {
            OnRead = read =>
            {
                if (read == 2)
                {
                    inRead.Set();
                    wake.Wait(TimeSpan.FromSeconds(60));
                }
            },
        };
        using Model model = Tiny.Network.Build(seed: 1);
        foreach (Func<CancellationToken, Task> work in (Func<CancellationToken, Task>[])[
            token => model.FitAsync(data, new FitOptions { BatchSize = 16 }, null, token),
        ])
        {
            using var cancellation = new CancellationTokenSource();
            Task task = work(cancellation.Token);
            Assert.True(inRead.Wait(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken));
            Stopwatch clock = Stopwatch.StartNew();
            await cancellation.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => task);
            Assert.InRange(clock.Elapsed, TimeSpan.Zero, s_soon);
        }

        // The model is free while the reader still sleeps, and the reader wakes to its own buffers.
        Assert.Single(model.Fit(source).Epochs);
        wake.Set();
        Assert.Equal(64, model.Evaluate(data).Count);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task CancellingAnEvaluationDoesNotWaitForARead(bool report)
    {
        using var inRead = new ManualResetEventSlim();
        using var wake = new ManualResetEventSlim();
        var data = new PulledData(Tiny.Floats(600))
        {
            OnRead = _ =>
            {
                inRead.Set();
                wake.Wait(TimeSpan.FromSeconds(60));
            },
        };
        using Model model = Tiny.Network.Build(seed: 1);
        using var cancellation = new CancellationTokenSource();
        Task task = Task.Run(() => _ = report
            ? (object)model.EvaluateReport(data, cancellation.Token)
            : model.Evaluate(data, cancellation.Token));
        Assert.True(inRead.Wait(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken));
        Stopwatch clock = Stopwatch.StartNew();
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => task);
        Assert.InRange(clock.Elapsed, TimeSpan.Zero, s_soon);
        wake.Set();
    }

    [Fact]
    public async Task ACancelledTrainingKeepsItsHistoryAndItsBestEpoch()
    {
        using var folder = new TempFolder();
        using var cancellation = new CancellationTokenSource();
        ImageDataset data = Tiny.Bytes(60);
        using Model model = Tiny.Network.Build(seed: 1);
        var after = new Dictionary<int, float[]>();
        FitOptions options = new()
        {
            Epochs = 99,
            Optimizer = new Adam(5e-3f),
            Validation = data,
            EarlyStopping = new EarlyStopping(Patience: 99),
            BestModel = folder.File("best.safetensors"),
            Schedule = new StepLr(2, 30), // the third epoch is worse
            OnEpoch = epoch =>
            {
                after[epoch.Epoch] = Tiny.ParametersOf(model);
                if (epoch.Epoch == 4)
                {
                    cancellation.Cancel();
                }
            },
        };
        var e = await Assert.ThrowsAsync<TrainingCanceledException>(() => model.FitAsync(data, options, null, cancellation.Token));
        Assert.Equal(4, e.Result.Epochs.Count);
        Assert.True(e.Result.StoppedEarly);
        Assert.Equal(cancellation.Token, e.CancellationToken);
        int best = 1 + e.Result.Epochs.Select(epoch => epoch.Validation!.Value.Loss).ToList()
            .IndexOf(e.Result.Epochs.Min(epoch => epoch.Validation!.Value.Loss));
        Assert.Equal(best, e.Result.BestEpoch);
        Assert.Equal(after[best], Tiny.ParametersOf(model));
        using Model saved = Model.Load(options.BestModel!);
        Assert.Equal(after[best], Tiny.ParametersOf(saved));
    }

    [Fact]
    public void TheBestModelNeedsNoEarlyStopping()
    {
        using var folder = new TempFolder();
        ImageDataset data = Tiny.Bytes(60);
        using Model model = Tiny.Network.Build(seed: 1);
        var after = new Dictionary<int, float[]>();
        TrainingResult result = model.Fit(data, new FitOptions
        {
            Epochs = 4,
            Validation = data,
            BestModel = folder.File("best.safetensors"),
            Schedule = new StepLr(2, 300),
            OnEpoch = epoch => after[epoch.Epoch] = Tiny.ParametersOf(model),
        });
        using Model saved = Model.Load(folder.File("best.safetensors"));
        Assert.Equal(after[result.BestEpoch!.Value], Tiny.ParametersOf(saved));
        Assert.Equal(after[4], Tiny.ParametersOf(model));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void ACallbackStopsTrainingWithoutAnException(bool withinAnEpoch)
    {
        using var stop = new CancellationTokenSource();
        using Model model = Tiny.Network.Build(seed: 1);
        int steps = 0;
        TrainingResult result = model.Fit(Tiny.Bytes(64), new FitOptions
        {
            Epochs = 9,
            BatchSize = 16,
            StopToken = stop.Token,
            OnBatch = batch =>
            {
                steps++;
                if (withinAnEpoch && batch is { Epoch: 3, Batch: 2 })
                {
                    stop.Cancel();
                }
            },
            OnEpoch = epoch =>
            {
                if (epoch.Epoch == 3)
                {
                    stop.Cancel();
                }
            },
        });
        Assert.Equal(withinAnEpoch ? 2 : 3, result.Epochs.Count);
        Assert.Equal(withinAnEpoch ? 10 : 12, steps);
        Assert.True(result.StoppedEarly);
    }

    [Fact]
    public void ABatchThatNoArrayHoldsIsRefused()
    {
        using Model model = Sequential.Input(1, 64, 64).AvgPool2d(64).Flatten().Linear(2).Build();
        var data = new Many(new ImageShape(1, 64, 64), 1 << 20);
        foreach (Action call in (Action[])[
            () => model.Fit(data, new FitOptions { BatchSize = 1 << 19 }),
            () => model.Forward(new float[4096], 1 << 20),
        ])
        {
            Assert.Throws<ArgumentException>(call);
        }

        Assert.Contains("smaller BatchSize", Assert.Throws<ArgumentException>(() => model.Fit(data, new FitOptions { BatchSize = 1 << 19 })).Message);
    }

    private static ImageDataset Features(int count) => ImageDataset.FromMemory(
        Enumerable.Range(0, count * 8).Select(i => i * 37 % 64 / 64f).ToArray(),
        Enumerable.Range(0, count).Select(i => (byte)(i % 2)).ToArray(),
        new ImageShape(1, 1, 8),
        2);

    private sealed class Many(ImageShape shape, int count) : IImageDataset
    {
        public int Count => count;

        public ImageShape Shape => shape;

        public int ClassCount => 2;

        public void Read(ReadOnlySpan<int> indices, Span<float> pixels, Span<int> labels) => throw new NotSupportedException();
    }
}

/// <summary>What is said to the log, and what the collector knows.</summary>
[Collection(AloneCollection.Name)]
public sealed class NoticeTests
{
    [Fact]
    public void AGradientOfOnesOwnWarnsWhereTrainingHasAnotherOutput()
    {
        Sequential input = Sequential.Input(1, 4, 4);
        Assert.Empty(Warnings(input.Conv2d(2, 3).ReLU().Flatten(), []));
        Assert.Contains("BatchNorm2d \"1\"", Assert.Single(Warnings(input.Conv2d(2, 3).BatchNorm2d().Dropout(), [])));
        Assert.Contains("Dropout \"1\"", Assert.Single(Warnings(input.Flatten().Dropout().Linear(2), [])));
        Assert.Contains("BatchNorm2d \"a.0\"", Assert.Single(Warnings(input.Block("a", b => b.BatchNorm2d()), [])));
        Assert.Empty(Warnings(input.Conv2d(2, 3).BatchNorm2d(), [ParameterGroup.Freeze("1.", statistics: true)]));

        static List<string> Warnings(Sequential network, ParameterGroup[] groups)
        {
            var said = new List<string>();
            using Model model = network.Build();
            MnistNativeLog.SetHandler((level, text) =>
            {
                if (level == MnistNativeLogLevel.Warning)
                {
                    said.Add(text);
                }
            });
            try
            {
                using Trainer trainer = model.CreateTrainer(
                    new Sgd(0.1f), 2, new TrainerOptions { Loss = Loss.OutputGradient(), ParameterGroups = groups });
                float[] gradient = new float[2 * model.OutputLength];
                trainer.Step(new float[32], gradient);
                trainer.Step(new float[32], gradient);
            }
            finally
            {
                MnistNativeLog.SetHandler(null);
            }

            return said;
        }
    }

    [Fact]
    public void ASecondFitSaysThatItBeginsAnew()
    {
        var said = new List<string>();
        using Model model = Tiny.Network.Build();
        MnistNativeLog.SetHandler((_, text) => said.Add(text));
        try
        {
            model.Fit(Tiny.Bytes(4));
            Assert.DoesNotContain(said, text => text.Contains("begin anew"));
            model.Fit(Tiny.Bytes(4));
        }
        finally
        {
            MnistNativeLog.SetHandler(null);
        }

        Assert.Single(said, text => text.Contains("begin anew"));
    }

    [Fact]
    public void ModelsThatAreNotDisposedAreCollected()
    {
        // 4 MB of parameters each, of which the collector would see a few kilobytes.
        var models = new List<WeakReference>();
        for (int i = 0; i < 150; i++)
        {
            Make(models);
        }

        GC.WaitForPendingFinalizers();
        Assert.InRange(models.Count(model => model.IsAlive), 0, 100);

        [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
        static void Make(List<WeakReference> models)
        {
            Model model = Sequential.Input(1000).Linear(1000).Build();
            models.Add(new WeakReference(model));
        }
    }
}
