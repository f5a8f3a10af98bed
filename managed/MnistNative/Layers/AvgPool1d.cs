namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// The mean of each window of C×L sequences. PyTorch:
    /// <c>nn.AvgPool1d(kernel, stride, padding, ceil_mode, count_include_pad)</c>; Keras: <c>AveragePooling1D</c>.
    /// </summary>
    /// <param name="kernel">Length of the window.</param>
    /// <param name="stride">Steps from one window to the next; the window's length when null.</param>
    /// <param name="padding">Zeros before and after, at most half the window.</param>
    /// <param name="ceilMode">Whether the output's length is rounded up instead of down.</param>
    /// <param name="countIncludePad">Whether padding counts in the divisor.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential AvgPool1d(
        int kernel, int? stride = null, int padding = 0, bool ceilMode = false, bool countIncludePad = true, string? name = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(kernel, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(stride ?? kernel, 1, nameof(stride));
        ArgumentOutOfRangeException.ThrowIfNegative(padding);
        return Add(new AvgPool1dLayer(kernel, stride ?? kernel, padding, ceilMode, countIncludePad, name));
    }
}
