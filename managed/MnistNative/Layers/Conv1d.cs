using MnistNative.Interop;

namespace MnistNative;

internal sealed partial record Conv1dLayer
{
    public override int AddTo(GraphBuilder graph, int source, string? name)
    {
        // What is no sequence is refused by name below.
        long[] shape = graph.ShapeOf(source) is [long c, long l] ? [c, l] : [1, 1];
        (int left, int right) = Padding.Along(shape[1], Padding.Size.Width, Kernel, Stride, Dilation);
        if (PaddingMode != PaddingMode.Zeros)
        {
            source = graph.AddReshape(source, [shape[0], 1, shape[1]]);
            source = graph.AddPadding(source, PaddingMode, 0, left, 0, right);
            source = graph.AddReshape(source, [shape[0], shape[1] + left + right]);
            (left, right) = (0, 0);
        }

        return graph.Add(MnOp.Conv2d, new MnConv2dDesc
        {
            OutChannels = OutChannels,
            KernelH = 1,
            KernelW = Kernel,
            StrideH = 1,
            StrideW = Stride,
            PadLeft = left,
            PadRight = right,
            DilationH = 1,
            DilationW = Dilation,
            Groups = Groups,
            Bias = Bias ? 1 : 0,
            OneDimensional = 1,
        }, name, source);
    }
}

public sealed partial class Sequential
{
    /// <summary>
    /// A convolution of C×L sequences: L' = ⌊(L + 2·padding − dilation·(kernel − 1) − 1) / stride⌋ + 1. Parameters:
    /// <c>weight</c> of O×(C/groups)×kernel, <c>bias</c> of O. PyTorch:
    /// <c>nn.Conv1d(C, O, kernel, stride, padding, dilation, groups, bias, padding_mode)</c>; Keras: <c>Conv1D</c>.
    /// </summary>
    /// <param name="outChannels">Number of output channels (filters), a multiple of <paramref name="groups"/>.</param>
    /// <param name="kernel">Length of the kernel.</param>
    /// <param name="stride">Steps from one output to the next.</param>
    /// <param name="padding">Steps before and after: a number, <see cref="Padding.Same"/> or <see cref="Padding.Valid"/>.</param>
    /// <param name="dilation">Steps between the kernel's elements.</param>
    /// <param name="groups">Groups of channels that are convolved apart; the input's channels must be a multiple.</param>
    /// <param name="bias">Whether a bias is added to every output channel.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <param name="paddingMode">What the padding is filled with.</param>
    /// <returns>The longer network.</returns>
    public Sequential Conv1d(
        int outChannels,
        int kernel,
        int stride = 1,
        Padding padding = default,
        int dilation = 1,
        int groups = 1,
        bool bias = true,
        string? name = null,
        PaddingMode paddingMode = PaddingMode.Zeros)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(outChannels, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(kernel, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(stride, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(dilation, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(groups, 1);
        return Add(new Conv1dLayer(
            outChannels, kernel, stride, padding.NotNegative(nameof(padding)), dilation, groups, bias, Defined(paddingMode), name));
    }
}
