namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// The mean of windows that give an image of the given size: row i of the result covers the rows ⌊i·H/H'⌋ to
    /// ⌈(i+1)·H/H'⌉ − 1. PyTorch: <c>nn.AdaptiveAvgPool2d(output_size)</c>; Keras: <c>AdaptiveAveragePooling2D</c>.
    /// </summary>
    /// <param name="outputSize">Size of the result: a number, or (height, width).</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential AdaptiveAvgPool2d(Size2D outputSize, string? name = null) =>
        Add(new AdaptiveAvgPool2dLayer(outputSize.AtLeast(1, nameof(outputSize)), name));
}
