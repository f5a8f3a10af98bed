namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// The largest value of each channel, C×H×W to C×1×1. PyTorch: <c>nn.AdaptiveMaxPool2d(1)</c>; Keras:
    /// <c>GlobalMaxPooling2D(keepdims=True)</c>.
    /// </summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential GlobalMaxPool2d(string? name = null) => Add(new GlobalMaxPool2dLayer(name));
}
