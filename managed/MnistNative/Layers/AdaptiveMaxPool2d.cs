using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record AdaptiveMaxPool2dLayer(Size2D OutputSize, string? Name) : Layer(CheckName(Name))
{
    public const string FileKind = "adaptive_max_pool2d";

    public override string Kind => FileKind;

    public override string Type => "AdaptiveMaxPool2d";

    public static Layer Read(LayerReader json) => new AdaptiveMaxPool2dLayer(json.Size("output_size"), json.Name);

    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        var desc = new MnAdaptivePool2dDesc
        {
            StructSize = (uint)sizeof(MnAdaptivePool2dDesc),
            OutputH = OutputSize.Height,
            OutputW = OutputSize.Width,
        };
        int node;
        fixed (byte* text = Utf8.ToNative(name))
        {
            Native.Check(NativeMethods.GraphAdaptiveMaxPool2d(graph.Value, source, &desc, text, &node));
        }

        return node;
    }

    protected override void WriteParameters(Utf8JsonWriter json)
    {
        json.WriteSize("output_size", OutputSize);
    }
}

public sealed partial class Sequential
{
    /// <summary>
    /// The largest value of windows that give an image of the given size: row i of the result covers the rows ⌊i·H/H'⌋ to
    /// ⌈(i+1)·H/H'⌉ − 1. PyTorch: <c>nn.AdaptiveMaxPool2d(output_size)</c>; Keras: <c>AdaptiveMaxPooling2D</c>.
    /// </summary>
    /// <param name="outputSize">Size of the result: a number, or (height, width).</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential AdaptiveMaxPool2d(Size2D outputSize, string? name = null) =>
        Add(new AdaptiveMaxPool2dLayer(outputSize.AtLeast(1, nameof(outputSize)), name));
}
