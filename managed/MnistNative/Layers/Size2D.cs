namespace MnistNative;

/// <summary>
/// A height and a width: of a kernel, a stride, a padding or a dilation. A number stands for the same in both
/// directions, a pair for (height, width): <c>kernel: 3</c> or <c>kernel: (3, 5)</c>.
/// </summary>
/// <param name="Height">Number of rows.</param>
/// <param name="Width">Number of columns.</param>
public readonly record struct Size2D(int Height, int Width)
{
    /// <summary>The same in both directions.</summary>
    /// <param name="size">Height and width.</param>
    public static implicit operator Size2D(int size) => new(size, size);

    /// <summary>Height and width as a pair.</summary>
    /// <param name="size">(height, width).</param>
    public static implicit operator Size2D((int Height, int Width) size) => new(size.Height, size.Width);

    /// <summary>For example <c>3×5</c>.</summary>
    public override string ToString() => $"{Height}×{Width}";

    /// <summary>Returns the value if both numbers are at least <paramref name="minimum"/>, else throws.</summary>
    internal Size2D AtLeast(int minimum, string paramName) =>
        Height >= minimum && Width >= minimum
            ? this
            : throw new ArgumentOutOfRangeException(paramName, this, $"Height and width must be at least {minimum}.");
}
