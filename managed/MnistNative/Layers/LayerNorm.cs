namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// Normalises each image over all its dimensions, or each pixel over its channels. Parameters: <c>weight</c> and
    /// <c>bias</c> of the shape that is normalised. PyTorch: <c>nn.LayerNorm((C, H, W), eps, affine)</c>, and
    /// <c>LayerNorm2d(C)</c> of torchvision for channels only; Keras: <c>LayerNormalization</c>.
    /// </summary>
    /// <param name="epsilon">Added to the variance, not negative.</param>
    /// <param name="affine">Whether <c>weight</c> and <c>bias</c> scale and shift the result.</param>
    /// <param name="channelsOnly">Whether each pixel is normalised over its channels, as in ConvNeXt.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential LayerNorm(float epsilon = 1e-5f, bool affine = true, bool channelsOnly = false, string? name = null) =>
        Add(new LayerNormLayer(NotNegative(epsilon), affine, channelsOnly, name));
}
