namespace MnistNative;

/// <summary>
/// Padding of a convolution: a number of pixels, a pair (height, width), <see cref="Same"/> or <see cref="Valid"/>.
/// </summary>
public readonly record struct Padding
{
    private Padding(Size2D size, bool isSame)
    {
        Size = size;
        IsSame = isSame;
    }

    /// <summary>
    /// As much as gives ⌈H / stride⌉ rows and ⌈W / stride⌉ columns; of an odd number the larger half stands at the bottom
    /// and the right. Keras: <c>padding="same"</c>; PyTorch: <c>padding="same"</c>, which allows no stride.
    /// </summary>
    public static Padding Same { get; } = new(default, isSame: true);

    /// <summary>None. Keras and PyTorch: <c>padding="valid"</c>.</summary>
    public static Padding Valid => default;

    /// <summary>Whether it is <see cref="Same"/>.</summary>
    public bool IsSame { get; }

    /// <summary>Rows above and below, columns on the left and the right; (0, 0) for <see cref="Same"/>.</summary>
    public Size2D Size { get; }

    /// <summary>The same on all sides.</summary>
    /// <param name="size">Number of pixels.</param>
    public static implicit operator Padding(int size) => new(size, isSame: false);

    /// <summary>Height and width as a pair.</summary>
    /// <param name="size">(height, width).</param>
    public static implicit operator Padding((int Height, int Width) size) => new(size, isSame: false);

    /// <summary>Height and width.</summary>
    /// <param name="size">The size.</param>
    public static implicit operator Padding(Size2D size) => new(size, isSame: false);

    /// <summary>For example <c>1×1</c> or <c>Same</c>.</summary>
    public override string ToString() => IsSame ? nameof(Same) : Size.ToString();

    /// <summary>Returns the value if it is not negative, else throws.</summary>
    internal Padding NotNegative(string paramName)
    {
        Size.AtLeast(0, paramName);
        return this;
    }

    /// <summary>Pixels before and after one side of an image.</summary>
    internal (int Before, int After) Along(long length, int size, int kernel, int stride, int dilation)
    {
        // The native library refuses a stride below 1, and names the layer.
        if (!IsSame || stride < 1)
        {
            return (size, size);
        }

        long outputs = (length + stride - 1) / stride;
        long total = Math.Max(0, ((outputs - 1) * stride) + ((long)dilation * (kernel - 1)) + 1 - length);
        return ((int)(total / 2), (int)(total - (total / 2)));
    }
}

/// <summary>What a padding is filled with. PyTorch: <c>padding_mode</c>.</summary>
public enum PaddingMode
{
    /// <summary>Zeros.</summary>
    Zeros = 0,

    /// <summary>The image mirrored, without repeating its edge.</summary>
    Reflect = 1,

    /// <summary>The image's edge.</summary>
    Replicate = 2,

    /// <summary>The image's other side.</summary>
    Circular = 3,
}
