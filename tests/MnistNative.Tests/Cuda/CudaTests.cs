namespace MnistNative.Tests.Cuda;

/// <summary>Models on a CUDA device, beside the same on the processor.</summary>
[Trait(CudaUnderTest.Trait, CudaUnderTest.TraitValue)]
public sealed class CudaTests
{
    private const double Tolerance = 1e-4;

    public static TheoryData<string> Networks => [.. s_networks.Keys];

    private static readonly Dictionary<string, Sequential> s_networks = new()
    {
        ["seed"] = Digits
            .Conv2d(32, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
            .Conv2d(64, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
            .Flatten().Linear(128).ReLU().Linear(10),

        // A bias before a batch normalisation has no gradient but rounding.
        ["residual"] = Digits
            .Conv2d(8, kernel: 3, stride: 2, padding: 1, bias: false).BatchNorm2d().ReLU()
            .Residual(inner => inner
                .Conv2d(8, kernel: 3, padding: 1, groups: 8, bias: false).BatchNorm2d().ReLU6()
                .Conv2d(8, kernel: 1, bias: false).BatchNorm2d())
            .ReLU()
            .GlobalAvgPool2d().Flatten().Linear(10),
    };

    private static Sequential Digits => Sequential.Input(SyntheticDigits.Shape).Normalize(mean: 0.13f, std: 0.31f);

    // Trains 2,000 images in seconds, emulated.
    private static Sequential Small => Digits
        .Conv2d(6, kernel: 3, stride: 2, padding: 1).ReLU().MaxPool2d(2)
        .Conv2d(12, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
        .Flatten().Linear(32).ReLU().Linear(10);

    [Theory]
    [MemberData(nameof(Networks))]
    public Task OneStepAgreesWithTheProcessor(string network) => CudaUnderTest.RunAsync(card =>
    {
        ImageDataset images = SyntheticDigits.Generate(16, seed: 7);
        int[] indices = [.. Enumerable.Range(0, images.Count)];
        using Device processor = Device.Cpu();
        using Model expected = s_networks[network].Build(seed: 5, processor);
        using Model actual = s_networks[network].Build(seed: 5, card);
        AssertEqual(expected, actual, tolerance: 0);
        using Trainer first = expected.CreateTrainer(new Sgd(0.05f, 0.9f), images.Count);
        using Trainer second = actual.CreateTrainer(new Sgd(0.05f, 0.9f), images.Count);
        double loss = first.Step(images, indices).Loss;
        Assert.Equal(loss, second.Step(images, indices).Loss, Tolerance * loss);
        foreach (ParameterInfo parameter in expected.Parameters.Where(parameter => parameter.IsTrainable))
        {
            NormWise.AssertClose(
                $"gradient of {parameter.Name}", expected.GetGradient(parameter.Name), actual.GetGradient(parameter.Name), Tolerance);
        }

        AssertEqual(expected, actual, Tolerance);
    });

    [Fact]
    public Task TheTrajectoryAgreesWithTheProcessor() => CudaUnderTest.RunAsync(card =>
    {
        ImageDataset images = SyntheticDigits.Generate(20 * 16, seed: 8);
        using Device processor = Device.Cpu();
        using Model expected = s_networks["residual"].Build(seed: 5, processor);
        using Model actual = s_networks["residual"].Build(seed: 5, card);
        using Trainer first = expected.CreateTrainer(new Adam(1e-3f), 16);
        using Trainer second = actual.CreateTrainer(new Adam(1e-3f), 16);
        for (int step = 0; step < 20; step++)
        {
            int[] indices = [.. Enumerable.Range(16 * step, 16)];
            double loss = first.Step(images, indices).Loss;
            Assert.Equal(loss, second.Step(images, indices).Loss, 1e-3 * loss);
        }
    });

    [Fact]
    public Task TrainingSucceedsAsOnTheProcessor() => CudaUnderTest.RunAsync(card =>
    {
        ImageDataset images = SyntheticDigits.Generate(3_000, seed: 9);
        ImageDataset test = images.Slice(2_000, 1_000);
        using Device processor = Device.Cpu();
        double expected = Train(processor, out double before);
        double actual = Train(card, out double untrained);
        Assert.Equal(before, untrained, 0.01);
        Assert.True(expected > before + 0.5, $"The accuracy on the processor is {expected:P1} after training, {before:P1} before.");
        Assert.Equal(expected, actual, 0.01);

        double Train(Device device, out double accuracyBefore)
        {
            using Model model = Small.Build(seed: 3, device);
            accuracyBefore = model.Evaluate(test).Accuracy!.Value;
            model.Fit(images.Take(2_000), new FitOptions { Epochs = 3, BatchSize = 32, Optimizer = new Adam(3e-3f) });
            return model.Evaluate(test).Accuracy!.Value;
        }
    });

    [Fact]
    public Task ASmallerBatchFitsAfterOneThatDoesNot() => CudaUnderTest.RunAsync(card =>
    {
        const int Size = 224;
        const int Channels = 8;
        DeviceInfo info = card.Describe();
        int tooMany = checked((int)(info.MemoryBytes / (Channels * Size * Size * sizeof(float)))) + 1;
        using Model model = Sequential.Input(1, Size, Size).Conv2d(Channels, kernel: 3, padding: 1).ReLU().GlobalAvgPool2d().Flatten()
            .Linear(2).Build(seed: 1, card);
        long used = MnistNativeRuntime.NativeMemoryInUse;
        MnistNativeOutOfMemoryException e =
            Assert.Throws<MnistNativeOutOfMemoryException>(() => model.CreateTrainer(new Adam(), tooMany));
        Assert.True(e.RequestedBytes > e.FreeBytes, $"asked for {e.RequestedBytes} of {e.FreeBytes} free bytes");
        Assert.InRange(e.FreeBytes, 1, info.MemoryBytes);
        Assert.Contains($"{e.RequestedBytes}", e.Message);
        Assert.Contains($"{e.FreeBytes}", e.Message);

        using Trainer trainer = model.CreateTrainer(new Adam(), batchSize: 2);
        float[] images = new float[2 * Size * Size];
        double loss = trainer.Step(images, [1, 1]).Loss;
        Assert.True(trainer.Step(images, [1, 1]).Loss < loss);
        Assert.True(MnistNativeRuntime.NativeMemoryInUse > used);
    });

    [Fact]
    public Task TheDeviceIsDescribed() => CudaUnderTest.RunAsync(card =>
    {
        DeviceInfo info = card.Describe();
        Assert.Equal(DeviceKind.Cuda, info.Kind);
        Assert.True(info.MemoryBytes > 0);
        Assert.NotNull(info.DriverVersion);
        Assert.Contains(info.Libraries, library => library.Contains("cuBLAS", StringComparison.Ordinal));
        using Device auto = Device.Auto();
        Assert.Equal(DeviceKind.Cuda, auto.Kind);

        DeviceUnavailableException e = Assert.Throws<DeviceUnavailableException>(() => Device.Cuda(info.DeviceCount));
        Assert.Equal(DeviceUnavailableReason.NoSuchIndex, e.Reason);
    });

    private static void AssertEqual(Model expected, Model actual, double tolerance)
    {
        foreach (ParameterInfo parameter in expected.Parameters)
        {
            NormWise.AssertClose(
                parameter.Name, expected.GetParameter(parameter.Name), actual.GetParameter(parameter.Name), tolerance);
        }
    }
}
