using MnistNative.Tests.Api;

namespace MnistNative.Tests.Training;

/// <summary>What training and prediction take, and give back.</summary>
[Collection(AloneCollection.Name)]
public sealed class ResourceTests
{
    [Fact]
    public void NativeMemoryIsGivenBack()
    {
        CollectForgottenObjects();
        long before = MnistNativeRuntime.NativeMemoryInUse;
        using (Device device = Device.Cpu(2))
        {
            using Model model = Tiny.Network.Build(device: device);
            using Trainer trainer = model.CreateTrainer(new Adam(), 8);
            trainer.Step(Tiny.Bytes(8), [0, 1, 2]);
            model.PredictAll(new float[640]);
            model.Evaluate(Tiny.Bytes(20));
            Assert.True(MnistNativeRuntime.NativeMemoryInUse > before);
        }

        Assert.Equal(before, MnistNativeRuntime.NativeMemoryInUse);
    }

    [Fact]
    public void TheOrderOfDisposeDoesNotMatter()
    {
        CollectForgottenObjects();
        long before = MnistNativeRuntime.NativeMemoryInUse;
        Device device = Device.Cpu(1);
        Model model = Tiny.Network.Build(device: device);
        Trainer trainer = model.CreateTrainer(new Adam(), 8);
        device.Dispose();
        model.Dispose();
        trainer.Step(Tiny.Bytes(8), [0, 1, 2]);
        trainer.Dispose();
        Assert.Equal(before, MnistNativeRuntime.NativeMemoryInUse);
    }

    [Fact]
    public void StepsAndPredictionsAllocateNothing()
    {
        ImageDataset bytes = Tiny.Bytes(32);
        float[] floats = Tiny.ReadAll(bytes);
        int[] labels = bytes.Labels.ToArray();
        int[] indices = [.. Enumerable.Range(0, 32)];
        float[] scores = new float[32 * Tiny.Classes];
        int[] classes = new int[32];
        int[] many = new int[200];
        byte[] manyBytes = new byte[200 * 64];
        using Model model = Tiny.Network.Build(seed: 1);
        using Trainer trainer = model.CreateTrainer(new Adam(), 32);
        var pulled = new PulledData(bytes);

        AssertNoAllocation("Step of floats", () => trainer.Step(floats, labels));
        AssertNoAllocation("Step of bytes", () => trainer.Step(bytes.ByteImages.Span, labels));
        AssertNoAllocation("Step of a data set", () => trainer.Step(bytes, indices));
        AssertNoAllocation("Step of pulled data", () => trainer.Step(pulled, indices));
        AssertNoAllocation("Accumulate and Apply", () =>
        {
            trainer.Accumulate(floats, labels);
            trainer.Apply();
        });
        AssertNoAllocation("LearningRate", () => trainer.LearningRate = 1e-3f);
        AssertNoAllocation("Forward", () => model.Forward(floats, scores));
        AssertNoAllocation("Predict", () => model.Predict(floats, classes));
        AssertNoAllocation("Predict of many bytes", () => model.Predict(manyBytes, many));
        AssertNoAllocation("PredictProbabilities", () => model.PredictProbabilities(bytes.ByteImages.Span, scores));
        AssertNoAllocation("GetParameter", () => model.GetParameter("0.bias", scores.AsSpan(0, 4)));
    }

    [Fact]
    public void AnEpochAllocatesNoMoreThanItsBookkeeping()
    {
        ImageDataset data = Tiny.Bytes(2000);
        using Model model = Tiny.Network.Build(seed: 1);
        var options = new FitOptions { BatchSize = 2 };
        model.Fit(data, options);
        long before = GC.GetAllocatedBytesForCurrentThread();
        model.Fit(data, options);
        long first = GC.GetAllocatedBytesForCurrentThread() - before;
        model.Fit(data, options with { Epochs = 3 });
        long second = GC.GetAllocatedBytesForCurrentThread() - before - first;

        // Two thousand more steps cost two epochs' results.
        Assert.InRange(second - first, 0, 2000);
    }

    [Fact]
    public void MemoryThatIsNotThereIsRefusedAndTheModelGoesOn()
    {
        using Model model = Sequential.Input(1, 1024, 1024).Conv2d(64, 3, padding: 1).ReLU().GlobalAvgPool2d().Flatten().Linear(2).Build();
        MnistNativeOutOfMemoryException e =
            Assert.Throws<MnistNativeOutOfMemoryException>(() => model.CreateTrainer(new Adam(), batchSize: 1 << 20));
        Assert.True(e.RequestedBytes > 1L << 40);
        using Trainer trainer = model.CreateTrainer(new Adam(), batchSize: 1);
    }

    private static void AssertNoAllocation(string what, Action action)
    {
        for (int i = 0; i < 100; i++)
        {
            action();
        }

        // What a call allocates shows in every round; what the runtime allocates once does not.
        long least = long.MaxValue;
        for (int round = 0; round < 3; round++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 100; i++)
            {
                action();
            }

            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.True(least == 0, $"{what} allocates {least / 100.0} bytes a call.");
    }

    private static void CollectForgottenObjects()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
    }
}
