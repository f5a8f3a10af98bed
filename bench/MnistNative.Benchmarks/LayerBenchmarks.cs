using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Configs;
using MnistNative.Managed;

namespace MnistNative.Benchmarks;

/// <summary>
/// One layer, forward alone and with its backward pass. The native side is a model of that layer behind the public
/// interface, so its time includes the call, the check of the arguments, and the copy of source, result and gradients
/// between N×C×H×W in managed memory and the layout of the kernels; the managed side is handed its own layout.
/// </summary>
[GroupBenchmarksBy(BenchmarkLogicalGroupRule.ByCategory)]
[CategoriesColumn]
public abstract class LayerBenchmarks(Sequential network, Managed.Layer managed) : ICounted
{
    private Model _model = null!;
    private Trainer _trainer = null!;
    private float[] _images = [];
    private float[] _result = [];
    private float[] _gradient = [];
    private AlignedBuffer _managedImages = null!;
    private AlignedBuffer _managedGradient = null!;

    /// <summary>Images in a call.</summary>
    [Params(1, 64, 256)]
    public int BatchSize { get; set; }

    /// <summary>Operations of one image's forward pass.</summary>
    protected abstract double ForwardOperations { get; }

    /// <summary>Operations of one image's backward pass, to the parameters and to the source.</summary>
    protected abstract double BackwardOperations { get; }

    public double Operations(string method) => BatchSize
        * (ForwardOperations + (method is nameof(NativeTraining) or nameof(ManagedTraining) ? BackwardOperations : 0));

    [GlobalSetup]
    public void Setup()
    {
        var random = new Random(1);
        _model = network.Build(seed: 1);
        _trainer = _model.CreateTrainer(new Sgd(0f), BatchSize, Loss.OutputGradient(), inputGradient: true);
        _images = Draw(random, BatchSize * network.InputShape.Length);
        _result = new float[BatchSize * _model.OutputLength];
        _gradient = Draw(random, _result.Length);
        _managedImages = new AlignedBuffer(_images.Length);
        _images.CopyTo(_managedImages.Span);
        _managedGradient = new AlignedBuffer(_gradient.Length);
        _gradient.CopyTo(_managedGradient.Span);
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        _trainer.Dispose();
        _model.Dispose();
    }

    [Benchmark]
    [BenchmarkCategory("forward")]
    public float NativeForward()
    {
        _model.Forward(_images, _result);
        return _result[0];
    }

    [Benchmark(Baseline = true)]
    [BenchmarkCategory("forward")]
    public float ManagedForward() => managed.Forward(_managedImages, BatchSize).Span[0];

    [Benchmark]
    [BenchmarkCategory("forward, backward")]
    public double NativeTraining()
    {
        double loss = _trainer.Accumulate(_images, _gradient).Loss;
        _trainer.Clear();
        return loss;
    }

    [Benchmark(Baseline = true)]
    [BenchmarkCategory("forward, backward")]
    public float ManagedTraining()
    {
        managed.Forward(_managedImages, BatchSize);
        return managed.Backward(_managedGradient, BatchSize)!.Span[0];
    }

    private static float[] Draw(Random random, int length)
    {
        float[] values = new float[length];
        foreach (ref float value in values.AsSpan())
        {
            value = (float)((2 * random.NextDouble()) - 1);
        }

        return values;
    }
}

/// <summary>The second convolution of the network that the project is measured on.</summary>
public class Conv2dBenchmarks() : LayerBenchmarks(
    Sequential.Input(32, 14, 14).Conv2d(64, kernel: 3, padding: 1),
    new Managed.Conv2d(32, 14, 14, 64, kernel: 3, padding: 1, relu: false, dataGradient: true))
{
    protected override double ForwardOperations => 2.0 * 32 * 9 * 64 * 14 * 14;

    protected override double BackwardOperations => 2 * ForwardOperations;
}

/// <summary>Its first pooling. A comparison counts as an operation.</summary>
public class MaxPool2dBenchmarks() : LayerBenchmarks(
    Sequential.Input(32, 28, 28).MaxPool2d(2),
    new Managed.MaxPool2d(32, 28, 28, kernel: 2))
{
    protected override double ForwardOperations => 3.0 * 32 * 14 * 14;

    protected override double BackwardOperations => 32 * 14 * 14;
}

/// <summary>Its first linear layer.</summary>
public class LinearBenchmarks() : LayerBenchmarks(
    Sequential.Input(3136).Linear(128),
    new Managed.Linear(3136, 1, 128, relu: false, dataGradient: true))
{
    protected override double ForwardOperations => 2.0 * 3136 * 128;

    protected override double BackwardOperations => 2 * ForwardOperations;
}
