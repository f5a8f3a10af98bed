using System.Numerics;

namespace MnistNative.Reference;

/// <summary>Sizes of a batch: images, channels, height, width. Features have a height and width of 1.</summary>
public readonly record struct Shape(int N, int C, int H, int W)
{
    /// <summary>Number of elements of the batch.</summary>
    public int Length => N * C * H * W;

    /// <summary>Number of elements of one image.</summary>
    public int ImageLength => C * H * W;
}

/// <summary>A batch of images, N×C×H×W without gaps.</summary>
public sealed class Tensor<T>
    where T : struct, IBinaryFloatingPointIeee754<T>
{
    public Tensor(Shape shape)
        : this(shape, new T[shape.Length])
    {
    }

    public Tensor(Shape shape, T[] values)
    {
        if (values.Length != shape.Length)
        {
            throw new ArgumentException($"A tensor of {shape} has {shape.Length} values, not {values.Length}.", nameof(values));
        }

        (Shape, Values) = (shape, values);
    }

    public Shape Shape { get; }

    public T[] Values { get; }

    public ref T this[int n, int c, int h, int w] =>
        ref Values[(((((n * Shape.C) + c) * Shape.H) + h) * Shape.W) + w];

    /// <summary>The same values in another shape of as many elements.</summary>
    public Tensor<T> As(Shape shape) => new(shape, Values);
}
