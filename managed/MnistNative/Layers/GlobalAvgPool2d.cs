namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// The mean over height and width, C×H×W to C×1×1. PyTorch: <c>nn.AdaptiveAvgPool2d(1)</c>; Keras:
    /// <c>GlobalAveragePooling2D(keepdims=True)</c>.
    /// </summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential GlobalAvgPool2d(string? name = null) => Add(new GlobalAvgPool2dLayer(name));
}
