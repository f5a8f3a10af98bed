namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// The largest value of windows that give an image of the given size: row i of the result covers the rows ⌊i·H/H'⌋ to
    /// ⌈(i+1)·H/H'⌉ − 1. PyTorch: <c>nn.AdaptiveMaxPool2d(output_size)</c>; Keras: <c>AdaptiveMaxPooling2D</c>.
    /// </summary>
    /// <param name="outputSize">Size of the result: a number, or (height, width).</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential AdaptiveMaxPool2d(Size2D outputSize, string? name = null) =>
        Add(new AdaptiveMaxPool2dLayer(outputSize.AtLeast(1, nameof(outputSize)), name));
}
