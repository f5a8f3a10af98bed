using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

/// <summary>Features or sequences of what is handed in as images; it belongs to the input and has no name.</summary>
internal sealed partial record InputViewLayer(int[] Shape) : Layer((string?)null)
{
    public override bool IsModule => false;

    public static Layer Read(LayerReader json) => new InputViewLayer(json.Shape("shape"));

    public override int AddTo(GraphBuilder graph, int source, string? name) =>
        graph.AddReshape(source, [.. Shape.Select(dimension => (long)dimension)], name);

    protected override void WriteParameters(Utf8JsonWriter json) => json.WriteInts("shape", Shape);
}
