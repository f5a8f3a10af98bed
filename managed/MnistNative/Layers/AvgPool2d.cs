namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// The mean of each window. PyTorch: <c>nn.AvgPool2d(kernel, stride, padding, ceil_mode, count_include_pad)</c>;
    /// Keras: <c>AveragePooling2D</c>, which never counts padding.
    /// </summary>
    /// <param name="kernel">Size of the window: a number, or (height, width).</param>
    /// <param name="stride">Pixels from one window to the next; the window's size when null.</param>
    /// <param name="padding">Zeros around the image, at most half the window.</param>
    /// <param name="ceilMode">Whether the output's size is rounded up instead of down.</param>
    /// <param name="countIncludePad">Whether padding counts in the divisor.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential AvgPool2d(
        Size2D kernel,
        Size2D? stride = null,
        Size2D padding = default,
        bool ceilMode = false,
        bool countIncludePad = true,
        string? name = null) =>
        Add(new AvgPool2dLayer(
            kernel.AtLeast(1, nameof(kernel)),
            (stride ?? kernel).AtLeast(1, nameof(stride)),
            padding.AtLeast(0, nameof(padding)),
            ceilMode,
            countIncludePad,
            name));
}
