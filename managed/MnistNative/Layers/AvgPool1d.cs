using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record AvgPool1dLayer(
    int Kernel, int Stride, int Padding, bool CeilMode, bool CountIncludePad, string? Name)
    : Layer(CheckName(Name))
{
    public const string FileKind = "avg_pool1d";

    public override string Kind => FileKind;

    public override string Type => "AvgPool1d";

    public static Layer Read(LayerReader json) => new AvgPool1dLayer(
        json.Int("kernel"),
        json.Int("stride"),
        json.Int("padding"),
        json.Bool("ceil_mode"),
        json.Bool("count_include_pad"),
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
            CountIncludePad = CountIncludePad ? 1 : 0,
            OneDimensional = 1,
        };
        int node;
        fixed (byte* text = Utf8.ToNative(name))
        {
            Native.Check(NativeMethods.GraphAvgPool2d(graph.Value, source, &desc, text, &node));
        }

        return node;
    }

    protected override void WriteParameters(Utf8JsonWriter json)
    {
        json.WriteNumber("kernel", Kernel);
        json.WriteNumber("stride", Stride);
        json.WriteNumber("padding", Padding);
        json.WriteBoolean("ceil_mode", CeilMode);
        json.WriteBoolean("count_include_pad", CountIncludePad);
    }
}

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
