using BenchmarkDotNet.Attributes;
using MnistNative.Managed;

namespace MnistNative.Benchmarks;

/// <summary>The network that the project is measured on, native and managed, with the same parameters and images.</summary>
public abstract class NetworkBenchmarks : ICounted
{
    /// <summary>Multiplications and additions of an image's forward pass: two convolutions, two linear layers.</summary>
    protected const double ForwardOperations = FirstConvolution + (2.0 * ((288 * 64 * 196) + (3136 * 128) + (128 * 10)));

    /// <summary>Those of the first convolution, which hands no gradient on.</summary>
    protected const double FirstConvolution = 2.0 * 9 * 32 * 784;

    /// <summary>Images in a step or a prediction.</summary>
    [Params(1, 64, 256)]
    public int BatchSize { get; set; }

    protected Model Model { get; private set; } = null!;

    protected Network Managed { get; } = Network.Seed();

    protected float[] Images { get; private set; } = [];

    protected AlignedBuffer ManagedImages { get; private set; } = null!;

    protected int[] Labels { get; private set; } = [];

    public abstract double Operations(string method);

    [GlobalSetup]
    public virtual void Setup()
    {
        ImageDataset digits = SyntheticDigits.Generate(BatchSize, seed: 1);
        Images = new float[BatchSize * digits.Shape.Length];
        Labels = new int[BatchSize];
        digits.Read([.. Enumerable.Range(0, BatchSize)], Images, Labels);
        ManagedImages = new AlignedBuffer(Images.Length);
        Images.CopyTo(ManagedImages.Span);

        Model = Sequential.Input(1, 28, 28)
            .Conv2d(32, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
            .Conv2d(64, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
            .Flatten()
            .Linear(128).ReLU()
            .Linear(10)
            .Build(seed: 1);
        foreach ((Parameter parameter, ParameterInfo info) in Managed.Parameters.Zip(Model.Parameters))
        {
            parameter.SetValue(Model.GetParameter(info.Name));
        }
    }

    [GlobalCleanup]
    public virtual void Cleanup() => Model.Dispose();
}

/// <summary>A whole training step: forward, cross-entropy, backward, Adam.</summary>
public class StepBenchmarks : NetworkBenchmarks
{
    private readonly Managed.Adam _managedAdam = new();
    private Trainer _trainer = null!;

    public override double Operations(string method) => BatchSize * ((3 * ForwardOperations) - FirstConvolution);

    public override void Setup()
    {
        base.Setup();
        _trainer = Model.CreateTrainer(new Adam(), BatchSize);
    }

    public override void Cleanup()
    {
        _trainer.Dispose();
        base.Cleanup();
    }

    [Benchmark]
    public double NativeStep() => _trainer.Step(Images, Labels).Loss;

    [Benchmark(Baseline = true)]
    public double ManagedStep() => Managed.Step(ManagedImages, Labels, _managedAdam);
}

/// <summary>Raw scores of images.</summary>
public class InferenceBenchmarks : NetworkBenchmarks
{
    private readonly float[] _scores = new float[256 * 10];

    public override double Operations(string method) => BatchSize * ForwardOperations;

    [Benchmark]
    public float NativeForward()
    {
        Model.Forward(Images, _scores.AsSpan(0, BatchSize * 10));
        return _scores[0];
    }

    [Benchmark(Baseline = true)]
    public float ManagedForward() => Managed.Forward(ManagedImages, BatchSize).Span[0];
}
