using MnistNative.Interop;

namespace MnistNative;

internal sealed partial record Conv2dLayer
{
    public override int AddTo(GraphBuilder graph, int source, string? name)
    {
        // What is no image is refused by name below.
        long[] shape = graph.ShapeOf(source) is [_, long h, long w] ? [h, w] : [1, 1];
        (int top, int bottom) = Padding.Along(shape[0], Padding.Size.Height, Kernel.Height, Stride.Height, Dilation.Height);
        (int left, int right) = Padding.Along(shape[1], Padding.Size.Width, Kernel.Width, Stride.Width, Dilation.Width);
        if (PaddingMode != PaddingMode.Zeros)
        {
            source = graph.AddPadding(source, PaddingMode, top, left, bottom, right);
            (top, left, bottom, right) = (0, 0, 0, 0);
        }

        return graph.Add(MnOp.Conv2d, new MnConv2dDesc
        {
            OutChannels = OutChannels,
            KernelH = Kernel.Height,
            KernelW = Kernel.Width,
            StrideH = Stride.Height,
            StrideW = Stride.Width,
            PadTop = top,
            PadLeft = left,
            PadBottom = bottom,
            PadRight = right,
            DilationH = Dilation.Height,
            DilationW = Dilation.Width,
            Groups = Groups,
            Bias = Bias ? 1 : 0,
        }, name, source);
    }
}

public sealed partial class Sequential
{
    /// <summary>
    /// A convolution of C×H×W images: H' = ⌊(H + 2·padding − dilation·(kernel − 1) − 1) / stride⌋ + 1, and W' likewise.
    /// Parameters: <c>weight</c> of O×(C/groups)×kernel height×kernel width, <c>bias</c> of O. PyTorch:
    /// <c>nn.Conv2d(C, O, kernel, stride, padding, dilation, groups, bias, padding_mode)</c>; Keras: <c>Conv2D</c>, and
    /// <c>DepthwiseConv2D</c> for as many groups as channels.
    /// </summary>
    /// <param name="outChannels">Number of output channels (filters), a multiple of <paramref name="groups"/>.</param>
    /// <param name="kernel">Size of the kernel: a number, or (height, width).</param>
    /// <param name="stride">Pixels from one output to the next; 1 when null.</param>
    /// <param name="padding">
    /// Pixels around the image: a number, (height, width), <see cref="Padding.Same"/> or <see cref="Padding.Valid"/>.
    /// </param>
    /// <param name="dilation">Pixels between the kernel's elements; 1 when null.</param>
    /// <param name="groups">Groups of channels that are convolved apart; the input's channels must be a multiple.</param>
    /// <param name="bias">Whether a bias is added to every output channel.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <param name="paddingMode">What the padding is filled with.</param>
    /// <returns>The longer network.</returns>
    public Sequential Conv2d(
        int outChannels,
        Size2D kernel,
        Size2D? stride = null,
        Padding padding = default,
        Size2D? dilation = null,
        int groups = 1,
        bool bias = true,
        string? name = null,
        PaddingMode paddingMode = PaddingMode.Zeros)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(outChannels, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(groups, 1);
        return Add(new Conv2dLayer(
            outChannels,
            kernel.AtLeast(1, nameof(kernel)),
            (stride ?? 1).AtLeast(1, nameof(stride)),
            padding.NotNegative(nameof(padding)),
            (dilation ?? 1).AtLeast(1, nameof(dilation)),
            groups,
            bias,
            Defined(paddingMode),
            name));
    }
}
