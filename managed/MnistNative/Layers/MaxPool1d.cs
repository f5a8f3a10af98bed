namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// The largest value of each window of C×L sequences. PyTorch:
    /// <c>nn.MaxPool1d(kernel, stride, padding, dilation, ceil_mode)</c>; Keras: <c>MaxPooling1D</c>.
    /// </summary>
    /// <param name="kernel">Length of the window.</param>
    /// <param name="stride">Steps from one window to the next; the window's length when null.</param>
    /// <param name="padding">Steps of minus infinity before and after, at most half the window.</param>
    /// <param name="ceilMode">Whether the output's length is rounded up instead of down.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <param name="dilation">Steps between a window's elements.</param>
    /// <returns>The longer network.</returns>
    public Sequential MaxPool1d(
        int kernel, int? stride = null, int padding = 0, bool ceilMode = false, string? name = null, int dilation = 1)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(kernel, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(stride ?? kernel, 1, nameof(stride));
        ArgumentOutOfRangeException.ThrowIfNegative(padding);
        ArgumentOutOfRangeException.ThrowIfLessThan(dilation, 1);
        return Add(new MaxPool1dLayer(kernel, stride ?? kernel, padding, ceilMode, dilation, name));
    }
}
