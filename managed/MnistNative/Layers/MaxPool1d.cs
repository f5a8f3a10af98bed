using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record MaxPool1dLayer(
    int Kernel, int Stride, int Padding, bool CeilMode, int Dilation, string? Name)
    : Layer(CheckName(Name))
{
    public const string FileKind = "max_pool1d";

    public override string Kind => FileKind;

    public override string Type => "MaxPool1d";

    public static Layer Read(LayerReader json) => new MaxPool1dLayer(
        json.Int("kernel"),
        json.Int("stride"),
        json.Int("padding"),
        json.Bool("ceil_mode"),
        json.Int("dilation"),
        json.Name);

    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        var desc = new MnPool2dDesc
        {
            StructSize = (uint)sizeof(MnPool2dDesc),
            KernelH = 1,
            KernelW = Kernel,
            StrideH = 1,
            StrideW = Stride,
            PadW = Padding,
            CeilMode = CeilMode ? 1 : 0,
            DilationW = Dilation,
            OneDimensional = 1,
        };
        int node;
        fixed (byte* text = Utf8.ToNative(name))
        {
            Native.Check(NativeMethods.GraphMaxPool2d(graph.Value, source, &desc, text, &node));
        }

        return node;
    }

    protected override void WriteParameters(Utf8JsonWriter json)
    {
        json.WriteNumber("kernel", Kernel);
        json.WriteNumber("stride", Stride);
        json.WriteNumber("padding", Padding);
        json.WriteBoolean("ceil_mode", CeilMode);
        json.WriteNumber("dilation", Dilation);
    }
}

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
