namespace MnistNative.Tests.Api;

/// <summary>A network and data that train in milliseconds.</summary>
internal static class Tiny
{
    public const int Classes = 3;

    public static readonly ImageShape Shape = new(1, 8, 8);

    /// <summary>Convolution, pooling and two linear layers; 995 parameters.</summary>
    public static Sequential Network => Sequential.Input(Shape)
        .Normalize(mean: 0.3f, std: 0.4f)
        .Conv2d(4, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
        .Flatten()
        .Linear(14).ReLU()
        .Linear(Classes);

    /// <summary>Noise with a bright column whose place is the class.</summary>
    public static ImageDataset Bytes(int count, int seed = 1)
    {
        var random = new Random(seed);
        byte[] images = new byte[count * Shape.Length];
        int[] labels = new int[count];
        for (int i = 0; i < count; i++)
        {
            Span<byte> image = images.AsSpan(i * Shape.Length, Shape.Length);
            labels[i] = random.Next(Classes);
            for (int k = 0; k < image.Length; k++)
            {
                bool bright = k % Shape.Width == (2 * labels[i]) + 1;
                image[k] = (byte)(random.Next(100) + (bright ? 150 : 0));
            }
        }

        return ImageDataset.FromMemory(images, labels, Shape, Classes);
    }

    /// <summary>The same data as floats.</summary>
    public static ImageDataset Floats(int count, int seed = 1)
    {
        ImageDataset bytes = Bytes(count, seed);
        return ImageDataset.FromMemory(ReadAll(bytes), bytes.Labels, Shape, Classes);
    }

    /// <summary>All images as floats.</summary>
    public static float[] ReadAll(ImageDataset data)
    {
        float[] pixels = new float[data.Count * data.Shape.Length];
        int[] labels = new int[data.Count];
        data.Read([.. Enumerable.Range(0, data.Count)], pixels, labels);
        return pixels;
    }

    /// <summary>All parameters, one after another.</summary>
    public static float[] ParametersOf(Model model) => [.. model.Parameters.SelectMany(parameter => model.GetParameter(parameter.Name))];

    /// <summary>Norm of the difference over the norm of what is expected.</summary>
    public static double Distance(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        double difference = 0;
        double norm = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            difference += Math.Pow((double)actual[i] - expected[i], 2);
            norm += Math.Pow(expected[i], 2);
        }

        return Math.Sqrt(difference / Math.Max(norm, 1e-30));
    }
}

/// <summary>Data that is read batch by batch, with hooks.</summary>
internal sealed class PulledData(ImageDataset source) : IImageDataset
{
    private int _reads;

    public Action<int>? OnRead { get; init; }

    public int Reads => _reads;

    public int Count => source.Count;

    public ImageShape Shape => source.Shape;

    public int ClassCount => source.ClassCount;

    public void Read(ReadOnlySpan<int> indices, Span<float> pixels, Span<int> labels)
    {
        OnRead?.Invoke(Interlocked.Increment(ref _reads));
        source.Read(indices, pixels, labels);
    }
}

/// <summary>Reports on the thread that reports, unlike <see cref="Progress{T}"/>.</summary>
internal sealed class Relay<T>(Action<T> handler) : IProgress<T>
{
    public void Report(T value) => handler(value);
}

/// <summary>Tests that look at counters of the whole process run alone.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class AloneCollection
{
    public const string Name = "Alone";
}
