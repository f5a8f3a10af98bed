namespace MnistNative.Managed;

/// <summary>
/// Weights or biases with their gradient and Adam's moments, in the layout that the layers like best.
/// </summary>
public sealed class Parameter
{
    private readonly int[] _torchIndex;

    internal Parameter(int length, Func<int, int> torchIndex)
    {
        _torchIndex = [.. Enumerable.Range(0, length).Select(torchIndex)];
        Value = new AlignedBuffer(length);
        Gradient = new AlignedBuffer(length);
        Moment1 = new AlignedBuffer(length);
        Moment2 = new AlignedBuffer(length);
    }

    /// <summary>The values.</summary>
    public AlignedBuffer Value { get; }

    /// <summary>The gradient of the last backward pass.</summary>
    public AlignedBuffer Gradient { get; }

    internal AlignedBuffer Moment1 { get; }

    internal AlignedBuffer Moment2 { get; }

    /// <summary>Takes values in PyTorch's layout.</summary>
    public void SetValue(ReadOnlySpan<float> values)
    {
        for (int i = 0; i < _torchIndex.Length; i++)
        {
            Value.Span[i] = values[_torchIndex[i]];
        }
    }

    /// <summary>The values in PyTorch's layout.</summary>
    public float[] GetValue() => ToTorch(Value);

    /// <summary>The gradient in PyTorch's layout.</summary>
    public float[] GetGradient() => ToTorch(Gradient);

    private float[] ToTorch(AlignedBuffer buffer)
    {
        float[] values = new float[_torchIndex.Length];
        for (int i = 0; i < values.Length; i++)
        {
            values[_torchIndex[i]] = buffer.Span[i];
        }

        return values;
    }
}

/// <summary>
/// One layer, as fast as plain C# makes it in reasonable code. Images are N×H×W×C here, features N×F. Results belong to
/// the layer and hold until its next call.
/// </summary>
public abstract class Layer
{
    /// <summary>Parameters in PyTorch's order: weight, bias.</summary>
    public virtual IReadOnlyList<Parameter> Parameters => [];

    /// <summary>The result for a number of images.</summary>
    public abstract AlignedBuffer Forward(AlignedBuffer src, int count);

    /// <summary>
    /// Sets the gradients of the parameters and returns that of the last source, given that of the last result; null
    /// where it is not wanted.
    /// </summary>
    public abstract AlignedBuffer? Backward(AlignedBuffer diffDst, int count);

    /// <summary>A buffer for at least so many floats: the present one if it is large enough, else a new one of zeros.</summary>
    internal static AlignedBuffer Reserve(ref AlignedBuffer? buffer, int length) =>
        buffer is null || buffer.Length < length ? buffer = new AlignedBuffer(length) : buffer;
}

/// <summary>Work in parallel where it is worth that.</summary>
internal static class Work
{
    // About what a processor does in the time that starting a parallel loop takes.
    private const long WorthIt = 200_000;

    /// <summary>Runs tasks 0 to before <paramref name="tasks"/>.</summary>
    /// <param name="tasks">Number of tasks.</param>
    /// <param name="operations">Operations of all tasks together, roughly.</param>
    /// <param name="run">Runs one task.</param>
    public static void For(int tasks, long operations, Action<int> run)
    {
        if (tasks > 1 && operations > WorthIt)
        {
            Parallel.For(0, tasks, run);
            return;
        }

        for (int task = 0; task < tasks; task++)
        {
            run(task);
        }
    }

    /// <summary>The range of a part when <paramref name="length"/> things are divided into parts.</summary>
    public static (int Start, int Count) Part(int length, int parts, int part)
    {
        int start = (int)((long)length * part / parts);
        return (start, (int)((long)length * (part + 1) / parts) - start);
    }
}
