using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

/// <summary>What both kinds of pooling have.</summary>
internal abstract record Pool2dLayer(Size2D Kernel, Size2D Stride, Size2D Padding, bool CeilMode, string? Name)
    : Layer(CheckName(Name))
{
    private protected unsafe MnPool2dDesc MakeDesc() => new()
    {
        StructSize = (uint)sizeof(MnPool2dDesc),
        KernelH = Kernel.Height,
        KernelW = Kernel.Width,
        StrideH = Stride.Height,
        StrideW = Stride.Width,
        PadH = Padding.Height,
        PadW = Padding.Width,
        CeilMode = CeilMode ? 1 : 0,
    };

    protected override void WriteParameters(Utf8JsonWriter json)
    {
        json.WriteSize("kernel", Kernel);
        json.WriteSize("stride", Stride);
        json.WriteSize("padding", Padding);
        json.WriteBoolean("ceil_mode", CeilMode);
    }
}

internal sealed record MaxPool2dLayer(
    Size2D Kernel, Size2D Stride, Size2D Padding, bool CeilMode, Size2D Dilation, string? Name)
    : Pool2dLayer(Kernel, Stride, Padding, CeilMode, Name)
{
    public const string FileKind = "max_pool2d";

    public override string Kind => FileKind;

    public override string Type => "MaxPool2d";

    public static Layer Read(LayerReader json) => new MaxPool2dLayer(
        json.Size("kernel"),
        json.Size("stride"),
        json.Size("padding"),
        json.Bool("ceil_mode"),
        json.Has("dilation") ? json.Size("dilation") : 1,
        json.Name);

    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        MnPool2dDesc desc = MakeDesc();
        desc.DilationH = Dilation.Height;
        desc.DilationW = Dilation.Width;
        int node;
        fixed (byte* text = Utf8.ToNative(name))
        {
            Native.Check(NativeMethods.GraphMaxPool2d(graph.Value, source, &desc, text, &node));
        }

        graph.AddPool(name, node);
        return node;
    }

    protected override void WriteParameters(Utf8JsonWriter json)
    {
        base.WriteParameters(json);
        json.WriteSize("dilation", Dilation);
    }
}

internal sealed record AvgPool2dLayer(
    Size2D Kernel, Size2D Stride, Size2D Padding, bool CeilMode, bool CountIncludePad, string? Name)
    : Pool2dLayer(Kernel, Stride, Padding, CeilMode, Name)
{
    public const string FileKind = "avg_pool2d";

    public override string Kind => FileKind;

    public override string Type => "AvgPool2d";

    public static Layer Read(LayerReader json) => new AvgPool2dLayer(
        json.Size("kernel"),
        json.Size("stride"),
        json.Size("padding"),
        json.Bool("ceil_mode"),
        json.Bool("count_include_pad"),
        json.Name);

    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        MnPool2dDesc desc = MakeDesc();
        desc.CountIncludePad = CountIncludePad ? 1 : 0;
        int node;
        fixed (byte* text = Utf8.ToNative(name))
        {
            Native.Check(NativeMethods.GraphAvgPool2d(graph.Value, source, &desc, text, &node));
        }

        return node;
    }

    protected override void WriteParameters(Utf8JsonWriter json)
    {
        base.WriteParameters(json);
        json.WriteBoolean("count_include_pad", CountIncludePad);
    }
}

internal sealed record GlobalAvgPool2dLayer(string? Name) : Layer(CheckName(Name))
{
    public const string FileKind = "global_avg_pool2d";

    public override string Kind => FileKind;

    public override string Type => "GlobalAvgPool2d";

    public static Layer Read(LayerReader json) => new GlobalAvgPool2dLayer(json.Name);

    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        int node;
        fixed (byte* text = Utf8.ToNative(name))
        {
            Native.Check(NativeMethods.GraphGlobalAvgPool2d(graph.Value, source, text, &node));
        }

        return node;
    }
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

    /// <summary>
    /// The mean over height and width, C×H×W to C×1×1. PyTorch: <c>nn.AdaptiveAvgPool2d(1)</c>; Keras:
    /// <c>GlobalAveragePooling2D(keepdims=True)</c>.
    /// </summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential GlobalAvgPool2d(string? name = null) => Add(new GlobalAvgPool2dLayer(name));
}
