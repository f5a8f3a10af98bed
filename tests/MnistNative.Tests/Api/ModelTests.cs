namespace MnistNative.Tests.Api;

public sealed class ModelTests
{
    private static Sequential Affine => Sequential.Input(1, 1, 2).Flatten().Linear(3);

    [Fact]
    public void TheSeedDecidesTheParameters()
    {
        using Model first = Tiny.Network.Build(seed: 5);
        using Model same = Tiny.Network.Build(seed: 5);
        using Model other = Tiny.Network.Build(seed: 6);
        Assert.Equal(Tiny.ParametersOf(first), Tiny.ParametersOf(same));
        Assert.NotEqual(Tiny.ParametersOf(first), Tiny.ParametersOf(other));

        // PyTorch's bound for a convolution of one channel and a 3×3 kernel.
        Assert.All(first.GetParameter("0.weight"), value => Assert.InRange(value, -1f / 3, 1f / 3));
    }

    [Fact]
    public void ForwardIsWhatTheParametersSay()
    {
        using Model model = Affine.Build();
        model.SetParameter("1.weight", [1, 2, 3, 4, 5, 6]);
        model.SetParameter("1.bias", [0.5f, 0, -0.5f]);
        Assert.Equal([5.5f, 11, 16.5f, 0.5f, 0, -0.5f], model.ForwardAll([1f, 2f, 0f, 0f]));
        Assert.Equal([2, 0], model.PredictAll([1f, 2f, 0f, 0f]));
        Assert.Equal([3], model.OutputShape);
        Assert.Equal(3, model.OutputLength);
    }

    [Fact]
    public void BytesAreDividedBy255()
    {
        using Model model = Tiny.Network.Build(seed: 3);
        ImageDataset data = Tiny.Bytes(9);
        byte[] bytes = data.ByteImages.ToArray();
        float[] floats = Tiny.ReadAll(data);
        Assert.InRange(Tiny.Distance(model.ForwardAll(floats), model.ForwardAll(bytes)), 0, 1e-6);
        Assert.Equal(model.PredictAll(floats), model.PredictAll(bytes));
        Assert.InRange(Tiny.Distance(model.ProbabilitiesOfAll(floats), model.ProbabilitiesOfAll(bytes)), 0, 1e-6);
    }

    [Fact]
    public void ProbabilitiesAreTheSoftmaxOfTheScores()
    {
        using Model model = Affine.Build();
        model.SetParameter("1.weight", new float[6]);
        model.SetParameter("1.bias", [0, MathF.Log(3), 0]);
        Assert.InRange(Tiny.Distance([0.2f, 0.6f, 0.2f], model.PredictProbabilities([1f, 1f])), 0, 1e-6);
        model.SetParameter("1.bias", [1000, 0, -1000]);
        Assert.Equal([1f, 0f, 0f], model.PredictProbabilities([1f, 1f]));
    }

    [Fact]
    public void ANetworkThatEndsInSoftmaxGivesProbabilitiesAndIsNotTrained()
    {
        ImageDataset data = Tiny.Bytes(40);
        using Model plain = Tiny.Network.Build(seed: 1);
        using Model model = Tiny.Network.Softmax().Build(seed: 1);
        float[] images = Tiny.ReadAll(data);
        float[] probabilities = model.ProbabilitiesOfAll(images);
        Assert.Equal(model.ForwardAll(images), probabilities);
        Assert.InRange(Tiny.Distance(plain.ProbabilitiesOfAll(images), probabilities), 0, 1e-6);
        Assert.Equal(plain.PredictAll(images), model.PredictAll(images));

        EvaluationResult expected = plain.Evaluate(data);
        EvaluationResult actual = model.Evaluate(data);
        Assert.Equal(expected.Correct, actual.Correct);
        Assert.Equal(expected.Loss, actual.Loss, 1e-6);

        ArgumentException refused = Assert.Throws<ArgumentException>(() => model.Fit(data));
        Assert.Contains("softmax", refused.Message, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public void NoImagesGiveNothing()
    {
        using Model model = Tiny.Network.Build();
        Assert.Empty(model.Forward(ReadOnlySpan<float>.Empty, count: 0));
        Assert.Empty(model.Predict(ReadOnlySpan<byte>.Empty, count: 0));
    }

    [Fact]
    public void WrongLengthsAreRefused()
    {
        using Model model = Tiny.Network.Build();
        Assert.Contains("1×8×8", Assert.Throws<ArgumentException>(() => model.Predict(new float[65])).Message);
        Assert.Throws<ArgumentException>(() => model.Forward(new float[64], new float[2]));
        Assert.Throws<ArgumentException>(() => model.Predict(new float[64], new int[2]));
        Assert.Throws<ArgumentException>(() => model.GetParameter("0.bias", new float[3]));
        Assert.Throws<ArgumentException>(() => model.SetParameter("0.bias", new float[5]));
        string unknown = Assert.Throws<ArgumentException>(() => model.GetParameter("1.weight")).Message;
        Assert.Contains("0.weight", unknown);
    }

    [Fact]
    public async Task DataThatDoesNotFitIsRefused()
    {
        using Model model = Tiny.Network.Build();
        ImageDataset otherShape = ImageDataset.FromMemory(new byte[9], new byte[] { 0 }, new ImageShape(1, 3, 3));
        string shape = Assert.Throws<ArgumentException>(() => model.Evaluate(otherShape)).Message;
        Assert.Contains("1×8×8", shape);
        Assert.Contains("1×3×3", shape);
        ImageDataset moreClasses = ImageDataset.FromMemory(new byte[64], new byte[] { 0 }, Tiny.Shape, classCount: 4);
        Assert.Contains("4 classes", Assert.Throws<ArgumentException>(() => model.Evaluate(moreClasses)).Message);
        await Assert.ThrowsAsync<ArgumentException>(() => model.FitAsync(otherShape));
    }

    [Fact]
    public void ParametersCanBeCopiedToAModelOfTheSameNetwork()
    {
        using Model source = Tiny.Network.Build(seed: 1);
        using Model target = Tiny.Network.Build(seed: 2);
        target.CopyParametersFrom(source);
        Assert.Equal(Tiny.ParametersOf(source), Tiny.ParametersOf(target));

        using Model other = Tiny.Network.Linear(2).Build();
        Assert.Throws<ArgumentException>(() => other.CopyParametersFrom(source));
        Assert.Throws<ArgumentException>(() => source.CopyParametersFrom(other));
    }

    [Fact]
    public void AfterDisposeEverythingThrows()
    {
        Model model = Tiny.Network.Build();
        model.Dispose();
        model.Dispose();
        var disposed = Assert.Throws<ObjectDisposedException>(() => model.Predict(new float[64]));
        Assert.Equal("MnistNative.Model", disposed.ObjectName);
        Assert.Throws<ObjectDisposedException>(() => model.GetParameter("0.weight"));
        Assert.Throws<ObjectDisposedException>(() => model.SetParameter("0.bias", new float[4]));
        Assert.Throws<ObjectDisposedException>(() => model.Evaluate(Tiny.Bytes(3)));
        Assert.Throws<ObjectDisposedException>(() => model.Fit(Tiny.Bytes(3)));
        Assert.Throws<ObjectDisposedException>(() => model.CreateTrainer(new Adam()));
        Assert.Throws<ObjectDisposedException>(() => model.MemoryPlan);
        Assert.Throws<ObjectDisposedException>(() => model.Save("never-written.safetensors"));
    }

    [Fact]
    public void FusionDoesNotChangeResults()
    {
        using Model fused = Tiny.Network.Build(seed: 4);
        using Model plain = Tiny.Network.Build(seed: 4, options: new ModelOptions { Fusion = false });
        float[] images = Tiny.ReadAll(Tiny.Bytes(20));
        Assert.InRange(Tiny.Distance(plain.ForwardAll(images), fused.ForwardAll(images)), 0, 1e-5);
    }

    [Fact]
    public void TheProcessorComputesWithFloat32Only()
    {
        using Device cpu = Device.Cpu(1);
        Assert.Equal([Precision.Float32], cpu.Describe().Precisions);
        using Model model = Tiny.Network.Build(device: cpu, options: new ModelOptions { Precision = Precision.Float32 });
        Assert.Equal(Precision.Float32, model.Precision);
        foreach (Precision precision in new[] { Precision.TensorFloat32, Precision.BFloat16 })
        {
            var refused = Assert.Throws<MnistNativeException>(
                () => Tiny.Network.Build(device: cpu, options: new ModelOptions { Precision = precision }));
            Assert.Equal(MnistNativeStatus.Unsupported, refused.Status);
        }

        Assert.Throws<ArgumentException>(
            () => Tiny.Network.Build(device: cpu, options: new ModelOptions { Precision = (Precision)7 }));
    }

    [Fact]
    public void AnImageHasTheSameBitsInEveryBatch()
    {
        float[] images = Tiny.ReadAll(Tiny.Bytes(64));
        using Model model = Tiny.Network.Build(seed: 4);
        using Model pieces = Tiny.Network.Build(seed: 4, options: new ModelOptions { InferenceBatch = 7 });
        float[] all = model.ForwardAll(images);
        Assert.Equal(all, pieces.ForwardAll(images));
        for (int i = 0; i < 64; i++)
        {
            float[] one = model.Forward(images.AsSpan(i * 64, 64));
            Assert.Equal(all[(i * Tiny.Classes)..((i + 1) * Tiny.Classes)], one);
        }
    }

    [Fact]
    public void TheMemoryPlanIsThereForInferenceAndTraining()
    {
        using Model model = Tiny.Network.Build();
        MemoryPlan inference = model.MemoryPlan;
        Assert.InRange(inference.ParameterBytes, 995 * sizeof(float), 2 * 995 * sizeof(float));
        Assert.Equal(0, inference.GradientBytes);
        using Trainer trainer = model.CreateTrainer(new Adam(), batchSize: 16);
        MemoryPlan training = trainer.MemoryPlan;
        Assert.Equal(16, training.Batch);
        Assert.True(training.GradientBytes >= 995 * sizeof(float));
        Assert.True(training.OptimizerBytes >= 2 * training.GradientBytes);
        Assert.True(training.TotalBytes >= training.GradientBytes + training.ArenaBytes);
    }
}
