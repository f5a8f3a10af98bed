using System.Numerics.Tensors;

namespace MnistNative.Managed;

/// <summary>Mean cross-entropy of class labels, of raw scores.</summary>
/// <param name="classes">Number of classes.</param>
public sealed class CrossEntropy(int classes)
{
    private AlignedBuffer? _gradient;
    private double[] _losses = [];

    /// <summary>The loss, and its gradient by the scores.</summary>
    public (double Loss, AlignedBuffer Gradient) Of(AlignedBuffer scores, int[] labels)
    {
        int count = labels.Length;
        float share = 1f / count;
        AlignedBuffer gradient = Layer.Reserve(ref _gradient, count * classes);
        if (_losses.Length < count)
        {
            _losses = new double[count];
        }

        // An exponential takes about twenty operations.
        Work.For(count, 20L * count * classes, n =>
        {
            ReadOnlySpan<float> row = scores.Span.Slice(n * classes, classes);
            Span<float> diff = gradient.Span.Slice(n * classes, classes);
            float largest = TensorPrimitives.Max(row);
            TensorPrimitives.Subtract(row, largest, diff);
            TensorPrimitives.Exp(diff, diff);
            float sum = TensorPrimitives.Sum(diff);
            TensorPrimitives.Multiply(diff, share / sum, diff);
            diff[labels[n]] -= share;
            _losses[n] = largest + MathF.Log(sum) - row[labels[n]];
        });
        return (TensorPrimitives.Sum<double>(_losses.AsSpan(0, count)) / count, gradient);
    }
}
