using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record GlobalMaxPool2dLayer(string? Name) : Layer(CheckName(Name))
{
    public const string FileKind = "global_max_pool2d";

    public override string Kind => FileKind;

    public override string Type => "GlobalMaxPool2d";

    public static Layer Read(LayerReader json) => new GlobalMaxPool2dLayer(json.Name);

    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        var desc = new MnAdaptivePool2dDesc
        {
            StructSize = (uint)sizeof(MnAdaptivePool2dDesc),
            OutputH = 1,
            OutputW = 1,
        };
        int node;
        fixed (byte* text = Utf8.ToNative(name))
        {
            Native.Check(NativeMethods.GraphAdaptiveMaxPool2d(graph.Value, source, &desc, text, &node));
        }

        return node;
    }
}

public sealed partial class Sequential
{
    /// <summary>
    /// The largest value of each channel, C×H×W to C×1×1. PyTorch: <c>nn.AdaptiveMaxPool2d(1)</c>; Keras:
    /// <c>GlobalMaxPooling2D(keepdims=True)</c>.
    /// </summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential GlobalMaxPool2d(string? name = null) => Add(new GlobalMaxPool2dLayer(name));
}
