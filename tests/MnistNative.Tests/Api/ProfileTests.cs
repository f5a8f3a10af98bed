using MnistNative.Models;

namespace MnistNative.Tests.Api;

public sealed class ProfileTests
{
    private const long Conv1 = 32 * 28 * 28 * 9;
    private const long Conv2 = 64 * 14 * 14 * 32 * 9;
    private const long Hidden = 3136 * 128;
    private const long Logits = 128 * 10;

    [Fact]
    public void InferenceIsOneEntryAnOperation()
    {
        using Device device = Device.Cpu(threads: 2);
        using Model model = Sequential.Input(1, 28, 28).Normalize(0.1307f, 0.3081f).Seed().Build(seed: 1, device);
        float[] before = model.GetParameter("0.weight");
        ModelProfile profile = model.Profile(batchSize: 3, repetitions: 2, cancellationToken: TestContext.Current.CancellationToken);
        Assert.False(profile.Training);
        Assert.Equal(3, profile.BatchSize);
        Assert.Equal(
            [
                "load+normalize", "conv2d+bias+relu+max_pool2d", "conv2d+bias+relu+max_pool2d", "linear+bias+relu", "linear+bias",
            ],
            profile.Entries.Select(entry => entry.Operation));
        Assert.Equal(
            [0, 6 * Conv1, 6 * Conv2, 6 * Hidden, 6 * Logits], profile.Entries.Select(entry => entry.Flops));
        AssertMeasured(profile);
        Assert.All(profile.Entries, entry => Assert.Equal(ProfileDirection.Forward, entry.Direction));
        Assert.Equal(before, model.GetParameter("0.weight"));
    }

    [Fact]
    public void ATrainingStepHasBothDirectionsAndLeavesTheModelAlone()
    {
        using Device device = Device.Cpu(threads: 2);
        using Model model = Sequential.Input(1, 28, 28).SimpleCnn().Build(seed: 1, device);
        using Trainer trainer = model.CreateTrainer(new Adam(), batchSize: 2);
        float[] before = model.GetParameter("0.weight");
        float[] statistics = model.GetParameter("1.running_mean");
        ModelProfile profile = model.Profile(
            batchSize: 4, training: true, repetitions: 1, cancellationToken: TestContext.Current.CancellationToken);
        Assert.True(profile.Training);
        AssertMeasured(profile);
        long forward = Flops(ProfileDirection.Forward);
        Assert.Equal(2 * 4 * model.Summary().MultiplyAdds, forward);

        // The gradient by the image is not computed.
        Assert.Equal((2 * forward) - (2L * 4 * model.Summary().Layers[1].MultiplyAdds), Flops(ProfileDirection.Backward));
        Assert.Equal(0, Flops(ProfileDirection.Update));
        Assert.Equal("update", profile.Entries[^1].Operation);
        Assert.Equal(before, model.GetParameter("0.weight"));
        Assert.Equal(statistics, model.GetParameter("1.running_mean"));

        long Flops(ProfileDirection direction) =>
            profile.Entries.Where(entry => entry.Direction == direction).Sum(entry => entry.Flops);
    }

    [Fact]
    public void FoldedNormalisationIsNamedAndABiasOnlyWhereThereIsOne()
    {
        using Device device = Device.Cpu(threads: 1);
        using Model model = Sequential.Input(3, 8, 8).Conv2d(4, kernel: 3, bias: false).BatchNorm2d().ReLU().Build(seed: 1, device);
        ModelProfile profile = model.Profile(
            batchSize: 1, repetitions: 1, cancellationToken: TestContext.Current.CancellationToken);
        Assert.Equal(["load", "conv2d+batch_norm+relu", "reorder"], profile.Entries.Select(entry => entry.Operation));
    }

    [Fact]
    public void NetworksWithoutLabelsAreProfiledToo()
    {
        using Device device = Device.Cpu(threads: 1);
        using Model image = Sequential.Input(1, 8, 8).Conv2d(2, kernel: 3, padding: 1).Build(seed: 1, device);
        AssertMeasured(image.Profile(
            batchSize: 2, training: true, repetitions: 1, cancellationToken: TestContext.Current.CancellationToken));
        using Model softmax = Sequential.Input(8).Linear(3).Softmax().Build(seed: 1, device);
        AssertMeasured(softmax.Profile(
            batchSize: 2, training: true, repetitions: 1, cancellationToken: TestContext.Current.CancellationToken));
    }

    [Fact]
    public void TheTableHasALineForEachOperationAndTheWhole()
    {
        using Device device = Device.Cpu(threads: 1);
        using Model model = Sequential.Input(1, 28, 28).Tower().Build(seed: 1, device);
        ModelProfile profile = model.Profile(
            batchSize: 2, repetitions: 1, cancellationToken: TestContext.Current.CancellationToken);
        string[] lines = profile.ToString().Split(Environment.NewLine);
        Assert.Equal(profile.Entries.Count + 5, lines.Length);
        Assert.StartsWith("Inference, batch 2, cpu: ", lines[0]);
        Assert.Contains("GFLOP/s", lines[0]);
        for (int i = 0; i < profile.Entries.Count; i++)
        {
            Assert.StartsWith(profile.Entries[i].Name, lines[3 + i]);
            Assert.Contains(profile.Entries[i].Operation, lines[3 + i]);
        }

        Assert.Contains("images/s", lines[^1]);
    }

    [Fact]
    public void WrongNumbersAreRefused()
    {
        using Device device = Device.Cpu(threads: 1);
        using Model model = Sequential.Input(4).Linear(2).Build(seed: 1, device);
        Assert.Throws<ArgumentOutOfRangeException>(() => model.Profile(batchSize: 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => model.Profile(repetitions: 0));
        Assert.Throws<OperationCanceledException>(() => model.Profile(cancellationToken: new CancellationToken(canceled: true)));
        model.Dispose();
        Assert.Throws<ObjectDisposedException>(() => model.Profile(cancellationToken: TestContext.Current.CancellationToken));
    }

    private static void AssertMeasured(ModelProfile profile)
    {
        Assert.All(profile.Entries, entry => Assert.True(entry.Seconds > 0 && entry.Bytes > 0, entry.ToString()));
        Assert.True(profile.Peak.FlopsPerSecond > 1e7);
        Assert.True(profile.Peak.BytesPerSecond > 1e7);
        Assert.Equal(profile.Seconds, profile.Entries.Sum(entry => entry.Seconds));
    }
}
