namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// A transposed convolution of C×H×W images:
    /// H' = (H − 1)·stride − 2·padding + dilation·(kernel − 1) + outputPadding + 1, and W' likewise. Parameters:
    /// <c>weight</c> of C×(O/groups)×kernel height×kernel width, <c>bias</c> of O. PyTorch:
    /// <c>nn.ConvTranspose2d(C, O, kernel, stride, padding, output_padding, groups, bias, dilation)</c>; Keras:
    /// <c>Conv2DTranspose</c>.
    /// </summary>
    /// <param name="outChannels">Number of output channels, a multiple of <paramref name="groups"/>.</param>
    /// <param name="kernel">Size of the kernel: a number, or (height, width).</param>
    /// <param name="stride">Pixels of output from one pixel of input to the next; 1 when null.</param>
    /// <param name="padding">Pixels cut from all sides of the result.</param>
    /// <param name="outputPadding">Rows added at the bottom and columns at the right, below the stride or the dilation.</param>
    /// <param name="dilation">Pixels between the kernel's elements; 1 when null.</param>
    /// <param name="groups">Groups of channels that are convolved apart; the input's channels must be a multiple.</param>
    /// <param name="bias">Whether a bias is added to every output channel.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential ConvTranspose2d(
        int outChannels,
        Size2D kernel,
        Size2D? stride = null,
        Size2D padding = default,
        Size2D outputPadding = default,
        Size2D? dilation = null,
        int groups = 1,
        bool bias = true,
        string? name = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(outChannels, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(groups, 1);
        return Add(new ConvTranspose2dLayer(
            outChannels,
            kernel.AtLeast(1, nameof(kernel)),
            (stride ?? 1).AtLeast(1, nameof(stride)),
            padding.AtLeast(0, nameof(padding)),
            outputPadding.AtLeast(0, nameof(outputPadding)),
            (dilation ?? 1).AtLeast(1, nameof(dilation)),
            groups,
            bias,
            name));
    }
}
