using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record FlattenLayer(string? Name) : Layer(CheckName(Name))
{
    public const string FileKind = "flatten";

    public override string Kind => FileKind;

    public override string Type => "Flatten";

    public static Layer Read(LayerReader json) => new FlattenLayer(json.Name);

    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        int node;
        fixed (byte* text = Utf8.ToNative(name))
        {
            Native.Check(NativeMethods.GraphFlatten(graph.Value, source, text, &node));
        }

        return node;
    }
}

public sealed partial class Sequential
{
    /// <summary>
    /// Makes features of an image, C×H×W to C·H·W values in that order. PyTorch: <c>nn.Flatten</c>; Keras:
    /// <c>Flatten</c>, which by default has the channels last.
    /// </summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Flatten(string? name = null) => Add(new FlattenLayer(name));
}
