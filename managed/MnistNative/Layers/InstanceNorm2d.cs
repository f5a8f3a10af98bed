namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// Normalises every channel of each image. Parameters if affine: <c>weight</c> and <c>bias</c> of C. PyTorch:
    /// <c>nn.InstanceNorm2d(C, eps, affine)</c>; Keras: <c>GroupNormalization(groups=-1)</c>.
    /// </summary>
    /// <param name="epsilon">Added to the variance, not negative.</param>
    /// <param name="affine">Whether <c>weight</c> and <c>bias</c> scale and shift the result; not by default, as in PyTorch.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential InstanceNorm2d(float epsilon = 1e-5f, bool affine = false, string? name = null) =>
        Add(new InstanceNorm2dLayer(NotNegative(epsilon), affine, name));
}
