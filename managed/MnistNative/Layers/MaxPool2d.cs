using MnistNative.Interop;

namespace MnistNative;

internal sealed partial record MaxPool2dLayer
{
    public override void Note(GraphBuilder graph, string? name, int node) => graph.AddPool(name, node);
}

public sealed partial class Sequential
{
    /// <summary>
    /// The largest value of each window. The first of equal values gets the gradient, and a NaN counts as the largest.
    /// PyTorch: <c>nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode)</c>; Keras: <c>MaxPooling2D</c>.
    /// </summary>
    /// <param name="kernel">Size of the window: a number, or (height, width).</param>
    /// <param name="stride">Pixels from one window to the next; the window's size when null.</param>
    /// <param name="padding">Pixels of minus infinity around the image, at most half the window.</param>
    /// <param name="ceilMode">Whether the output's size is rounded up instead of down.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <param name="dilation">Pixels between a window's elements; 1 when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential MaxPool2d(
        Size2D kernel,
        Size2D? stride = null,
        Size2D padding = default,
        bool ceilMode = false,
        string? name = null,
        Size2D? dilation = null) =>
        Add(new MaxPool2dLayer(
            kernel.AtLeast(1, nameof(kernel)),
            (stride ?? kernel).AtLeast(1, nameof(stride)),
            padding.AtLeast(0, nameof(padding)),
            ceilMode,
            (dilation ?? 1).AtLeast(1, nameof(dilation)),
            name));
}
