namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// Normalises groups of channels of each image. Parameters: <c>weight</c> and <c>bias</c> of C. PyTorch:
    /// <c>nn.GroupNorm(groups, C, eps, affine)</c>; Keras: <c>GroupNormalization</c>.
    /// </summary>
    /// <param name="groups">Number of groups, which divides the channels.</param>
    /// <param name="epsilon">Added to the variance, not negative.</param>
    /// <param name="affine">Whether <c>weight</c> and <c>bias</c> scale and shift the result.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential GroupNorm(int groups, float epsilon = 1e-5f, bool affine = true, string? name = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(groups, 1);
        return Add(new GroupNormLayer(groups, NotNegative(epsilon), affine, name));
    }
}
