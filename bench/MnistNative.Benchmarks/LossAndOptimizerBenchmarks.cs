using BenchmarkDotNet.Attributes;
using MnistNative.Managed;

namespace MnistNative.Benchmarks;

/// <summary>
/// Cross-entropy of 1000 classes with its gradient by the scores. The native side is a model that does nothing else;
/// its time includes the call and the copy of the scores.
/// </summary>
public class CrossEntropyBenchmarks : ICounted
{
    private const int Classes = 1000;

    private readonly CrossEntropy _managed = new(Classes);
    private Model _model = null!;
    private Trainer _trainer = null!;
    private float[] _scores = [];
    private AlignedBuffer _managedScores = null!;
    private int[] _labels = [];

    /// <summary>Images in a call.</summary>
    [Params(1, 64, 256)]
    public int BatchSize { get; set; }

    // Maximum, difference, exponential, sum, product; the exponential counts as one.
    public double Operations(string method) => 5.0 * BatchSize * Classes;

    [GlobalSetup]
    public void Setup()
    {
        var random = new Random(1);
        _model = Sequential.Input(Classes).Reshape(Classes).Build();
        _trainer = _model.CreateTrainer(new Sgd(0f), BatchSize, inputGradient: true);
        _scores = [.. Enumerable.Range(0, BatchSize * Classes).Select(_ => (float)(8 * random.NextDouble()))];
        _labels = [.. Enumerable.Range(0, BatchSize).Select(_ => random.Next(Classes))];
        _managedScores = new AlignedBuffer(_scores.Length);
        _scores.CopyTo(_managedScores.Span);
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        _trainer.Dispose();
        _model.Dispose();
    }

    [Benchmark]
    public double NativeCrossEntropy() => _trainer.Step(_scores, _labels).Loss;

    [Benchmark(Baseline = true)]
    public double ManagedCrossEntropy() => _managed.Of(_managedScores, _labels).Loss;
}

/// <summary>
/// Adam on more parameters than caches hold. The native side is <see cref="Trainer.Apply"/> of a linear layer whose
/// gradients were accumulated before, outside of the measured time.
/// </summary>
public class AdamBenchmarks : ICounted
{
    private const int Features = 2048;

    private readonly Managed.Adam _managedAdam = new();
    private readonly Managed.Linear _managed = new(Features, 1, Features, relu: false, dataGradient: false);
    private readonly float[] _features = new float[Features];
    private readonly float[] _gradient = new float[Features];
    private Model _model = null!;
    private Trainer _trainer = null!;

    // Three for the first moment, four for the second, six for the parameter.
    public double Operations(string method) => 13.0 * ((Features * Features) + Features);

    [GlobalSetup]
    public void Setup()
    {
        Array.Fill(_features, 0.1f);
        Array.Fill(_gradient, 0.1f);
        foreach (Parameter parameter in _managed.Parameters)
        {
            parameter.Gradient.Span.Fill(0.01f);
        }

        _model = Sequential.Input(Features).Linear(Features).Build(seed: 1);
        _trainer = _model.CreateTrainer(new Adam(), batchSize: 1, Loss.OutputGradient());
    }

    [IterationSetup(Target = nameof(NativeAdam))]
    public void Accumulate() => _trainer.Accumulate(_features, _gradient);

    [GlobalCleanup]
    public void Cleanup()
    {
        _trainer.Dispose();
        _model.Dispose();
    }

    [Benchmark]
    public void NativeAdam() => _trainer.Apply();

    [Benchmark(Baseline = true)]
    public void ManagedAdam() => _managedAdam.Step(_managed.Parameters);
}
