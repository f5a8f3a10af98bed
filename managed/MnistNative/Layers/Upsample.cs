namespace MnistNative;

/// <summary>How values between pixels are made.</summary>
public enum UpsampleMode
{
    /// <summary>The nearest pixel.</summary>
    Nearest = 0,

    /// <summary>Linear in both directions.</summary>
    Bilinear = 1,
}

public sealed partial class Sequential
{
    /// <summary>
    /// Enlarges C×H×W images by whole factors. PyTorch: <c>nn.Upsample(scale_factor, mode, align_corners)</c>; Keras:
    /// <c>UpSampling2D(size, interpolation)</c>.
    /// </summary>
    /// <param name="scale">The factor: a number, or (height, width).</param>
    /// <param name="mode">How values between pixels are made.</param>
    /// <param name="alignCorners">Bilinear: whether corner pixels lie on corner pixels instead of edges on edges.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Upsample(
        Size2D scale, UpsampleMode mode = UpsampleMode.Nearest, bool alignCorners = false, string? name = null) =>
        Add(new UpsampleLayer(scale.AtLeast(1, nameof(scale)), Defined(mode), alignCorners, name));
}
