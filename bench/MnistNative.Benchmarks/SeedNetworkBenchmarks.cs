using BenchmarkDotNet.Attributes;
using MnistNative.Reference;

namespace MnistNative.Benchmarks;

/// <summary>
/// A training step and inference of the seed network: the native library against C# written from the textbook (plain
/// loops, one thread), which is the tests' oracle and not what C# can do at best.
/// </summary>
[MemoryDiagnoser]
public class SeedNetworkBenchmarks
{
    private readonly byte[] _pixels = new byte[256 * 28 * 28];
    private int[] _labels = [];
    private int[] _classes = [];
    private Model _model = null!;
    private Trainer _trainer = null!;
    private Network<float> _textbook = null!;
    private Adam<float> _textbookAdam = null!;
    private Tensor<float> _textbookImages = null!;

    /// <summary>Images in a step.</summary>
    [Params(1, 64, 256)]
    public int BatchSize { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        ImageDataset digits = SyntheticDigits.Generate(BatchSize, seed: 1);
        float[] pixels = new float[BatchSize * digits.Shape.Length];
        _labels = new int[BatchSize];
        _classes = new int[BatchSize];
        digits.Read(Enumerable.Range(0, BatchSize).ToArray(), pixels, _labels);
        for (int i = 0; i < pixels.Length; i++)
        {
            _pixels[i] = (byte)MathF.Round(pixels[i] * 255);
        }

        _model = Sequential.Input(1, 28, 28)
            .Conv2d(32, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
            .Conv2d(64, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
            .Flatten()
            .Linear(128).ReLU()
            .Linear(10)
            .Build(seed: 1);
        _trainer = _model.CreateTrainer(new Adam(1e-3f), BatchSize);

        _textbook = Network<float>.Seed();
        foreach ((Parameter<float> parameter, ParameterInfo info) in _textbook.Parameters.Zip(_model.Parameters))
        {
            _model.GetParameter(info.Name, parameter.Value);
        }

        _textbookAdam = new Adam<float>(1e-3);
        _textbookImages = new Tensor<float>(new Shape(BatchSize, 1, 28, 28), pixels);
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        _trainer.Dispose();
        _model.Dispose();
    }

    [Benchmark]
    public double NativeStep() => _trainer.Step(Images, _labels).Loss;

    [Benchmark]
    public float TextbookStep() => _textbook.Step(_textbookImages, _labels, _textbookAdam);

    [Benchmark]
    public int NativePredict()
    {
        _model.Predict(Images, _classes);
        return _classes[0];
    }

    [Benchmark]
    public float TextbookForward() => _textbook.Forward(_textbookImages).Values[0];

    private ReadOnlySpan<byte> Images => _pixels.AsSpan(0, BatchSize * 28 * 28);
}
