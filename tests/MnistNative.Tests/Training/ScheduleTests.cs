using MnistNative.Tests.Api;

namespace MnistNative.Tests.Training;

/// <summary>Learning rates, as PyTorch's schedulers compute them: lists are their <c>get_last_lr()</c>, step by step.</summary>
public sealed class ScheduleTests
{
    // 0.1 is the optimizer's rate and every epoch has two batches, so each number appears twice.
    public static TheoryData<LearningRateSchedule, double[]> PerEpoch => new()
    {
        { new StepLr(2, 0.5), [0.1, 0.1, 0.05, 0.05, 0.025] },
        { new ExponentialLr(0.9), [0.1, 0.09, 0.081, 0.0729, 0.06561] },
        { new CosineAnnealingLr(4), [0.1, 0.0853553390593274, 0.05, 0.0146446609406726, 0] },
        { new CosineAnnealingLr(Epochs: 4, MinLearningRate: 0.02), [0.1, 0.0882842712474619, 0.06, 0.0317157287525381, 0.02] },
        { new CosineAnnealingLr(), [0.1, 0.0904508497187474, 0.0654508497187474, 0.0345491502812526, 0.00954915028125263] },
    };

    // One epoch of ten batches.
    public static TheoryData<LearningRateSchedule, double[]> PerBatch => new()
    {
        {
            new OneCycleLr(),
            [0.004, 0.052, 0.1, 0.095048463201, 0.081174565395, 0.061126202194, 0.038874197806, 0.018825834605, 0.004951936799, 4e-7]
        },
        {
            new LinearWarmup(4, 0.25),
            [0.025, 0.04375, 0.0625, 0.08125, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
        },
    };

    [Theory]
    [MemberData(nameof(PerEpoch))]
    public void FollowsEpochs(LearningRateSchedule schedule, double[] expected)
    {
        for (int batch = 0; batch < 2 * expected.Length; batch++)
        {
            Assert.Equal(expected[batch / 2], schedule.RateAt(0.1, batch, 2, expected.Length), 1e-12);
        }
    }

    [Theory]
    [MemberData(nameof(PerBatch))]
    public void FollowsBatches(LearningRateSchedule schedule, double[] expected)
    {
        for (int batch = 0; batch < expected.Length; batch++)
        {
            Assert.Equal(expected[batch], schedule.RateAt(0.1, batch, expected.Length, 1), 1e-9);
        }
    }

    [Fact]
    public void AScheduleAfterAWarmUpCountsFromItsEnd()
    {
        var schedule = new LinearWarmup(3, 0.5, new ExponentialLr(0.1));
        Assert.Equal(0.5, schedule.RateAt(1, 0, 2, 5), 1e-12);
        Assert.Equal(1, schedule.RateAt(1, 4, 2, 5), 1e-12);
        Assert.Equal(0.1, schedule.RateAt(1, 5, 2, 5), 1e-12);
    }

    // PyTorch: LinearLR by batch for the warm-up, then the other by epochs of so many batches from there.
    [Theory]
    [InlineData(1, 100, 2, 150, 0.05)] // the first of two epochs, of which one has 99 batches
    [InlineData(1, 100, 2, 100, 0.1)]
    [InlineData(1, 100, 2, 101, 0.05)]
    [InlineData(100, 938, 5, 4689, 0.00954915028125263)]
    [InlineData(938, 938, 5, 4689, 0.0146446609406726)] // four whole epochs
    [InlineData(150, 100, 2, 199, 0.1)] // half an epoch is left
    [InlineData(500, 100, 2, 199, 0.0596)] // nothing is left: it still rises
    public void ACosineAfterAWarmUpHasTheEpochsThatAreLeft(int warmup, int batches, int epochs, long batch, double expected)
    {
        var schedule = new LinearWarmup(warmup, 1.0 / 3, new CosineAnnealingLr());
        double rate = warmup > batch ? 0.1 * ((1.0 / 3) + (2.0 / 3 * batch / warmup)) : expected;
        Assert.Equal(rate, schedule.RateAt(0.1, batch, batches, epochs), 1e-12);
        Assert.All(Enumerable.Range(0, batches * epochs), i => Assert.True(schedule.RateAt(0.1, i, batches, epochs) > 0));
    }

    [Fact]
    public void EveryScheduleGoesOnAfterAWarmUp()
    {
        // 7 batches of warm-up, then 13 of the 20: by epochs of 4 batches from the 7th, the last of one batch.
        double At(LearningRateSchedule then, long batch) => new LinearWarmup(7, 0.5, then).RateAt(1, batch, 4, 5);
        Assert.Equal([1, 1, 0.5, 0.5, 0.25], new long[] { 7, 10, 11, 14, 15 }.Select(batch => At(new StepLr(1, 0.5), batch)));
        Assert.Equal([1, 0.5, 0.25, 0.125], new long[] { 10, 14, 15, 19 }.Select(batch => At(new ExponentialLr(0.5), batch)));
        Assert.Equal(new OneCycleLr().RateAt(1, 0, 13, 1), At(new OneCycleLr(), 7), 1e-12);
        Assert.Equal(new OneCycleLr().RateAt(1, 12, 13, 1), At(new OneCycleLr(), 19), 1e-12);
        Assert.Equal(1, At(new ReduceOnPlateau(), 19));

        // A warm-up in a warm-up: 3 batches more.
        Assert.Equal([0.5, 1, 0.5], new long[] { 7, 10, 14 }.Select(batch => At(new LinearWarmup(3, 0.5, new ExponentialLr(0.5)), batch)));
    }

    [Fact]
    public void FewerBatchesThanAnEpochHaveTheFirstRate()
    {
        Assert.Equal(0.1, new CosineAnnealingLr().RateAt(0.1, 0, 1, 1), 1e-12);
        Assert.Equal(0.1, new LinearWarmup(9, 0.5, new CosineAnnealingLr()).RateAt(0.1, 9, 10, 1), 1e-12);
        Assert.Equal(0.1, new LinearWarmup(9, 0.5, new StepLr(1)).RateAt(0.1, 9, 10, 1), 1e-12);
    }

    [Fact]
    public void APlateauAfterAWarmUpCountsFromItsEnd()
    {
        // Two epochs of three batches are warm-up; PyTorch's plateau with patience 0 then lowers at every epoch.
        LearningRateSchedule inner = new ReduceOnPlateau(0.5, Patience: 0);
        foreach (LearningRateSchedule schedule in new[] { new LinearWarmup(6, 0.5, inner), new LinearWarmup(2, 0.5, new LinearWarmup(4, 0.75, inner)) })
        {
            ScheduleRun run = schedule.Start(1, 3, 15);
            double[] rates = [0.5, 0.75, 1, 1, 0.5];
            for (int epoch = 0; epoch < rates.Length; epoch++)
            {
                Assert.Equal(rates[epoch], epoch == 1 ? 0.75 : run.Rate(3 * epoch), 1e-12);
                run.Rate((3 * epoch) + 2);
                run.EpochEnded(5);
            }
        }
    }

    [Fact]
    public void BatchesMayBeMoreThanAnIntCounts()
    {
        const long batch = 6_000_000_000;
        double share = batch / 4 / (double)int.MaxValue;
        Assert.Equal(
            0.1 * (1 + Math.Cos(Math.PI * share)) / 2, new CosineAnnealingLr().RateAt(0.1, batch, 4, int.MaxValue), 1e-12);
        Assert.Equal(0.05, new StepLr(1_000_000_000, 0.5).RateAt(0.1, batch, 4, int.MaxValue), 1e-12);
    }

    [Fact]
    public void APlateauLowersTheRate()
    {
        // PyTorch: factor 0.5, patience 1, cooldown 1, threshold 0.1.
        ScheduleRun run = new ReduceOnPlateau(0.5, Patience: 1, Threshold: 0.1, Cooldown: 1, MinLearningRate: 0.2).Start(1, 3, 27);
        double[] losses = [10, 9.5, 8, 7.9, 7.8, 7.7, 7.6, 7.5, 7.4, 7.3, 7.2];
        double[] rates = [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2];
        for (int epoch = 0; epoch < losses.Length; epoch++)
        {
            run.EpochEnded(losses[epoch]);
            Assert.Equal(rates[epoch], run.Rate(0), 1e-12);
        }
    }

    [Fact]
    public void TrainingUsesTheRates()
    {
        using Model model = Tiny.Network.Build(seed: 1);
        var rates = new List<float>();
        model.Fit(Tiny.Bytes(20), new FitOptions
        {
            Epochs = 2,
            BatchSize = 10,
            Optimizer = new Sgd(0.1f),
            Schedule = new LinearWarmup(2, 0.5, new ExponentialLr(0.5)),
            OnBatch = batch => rates.Add(batch.LearningRate),
        });
        Assert.Equal([0.05f, 0.075f, 0.1f, 0.1f], rates);
    }

    [Fact]
    public void NumbersThatMakeNoSenseAreRefused()
    {
        using Model model = Tiny.Network.Build();
        foreach (LearningRateSchedule schedule in (LearningRateSchedule[])[
            new StepLr(0), new ExponentialLr(double.NaN), new CosineAnnealingLr(0), new OneCycleLr(1), new LinearWarmup(0),
            new LinearWarmup(1, 0.5, new StepLr(0)), new ReduceOnPlateau(1)])
        {
            Assert.Throws<ArgumentOutOfRangeException>(() => model.Fit(Tiny.Bytes(4), new FitOptions { Schedule = schedule }));
            Assert.Throws<ArgumentOutOfRangeException>(() => schedule.RateAt(0.1, 0, 1, 1));
        }
    }
}
