using System.Collections.Immutable;
using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed partial record BlockLayer(ImmutableArray<Layer> Layers, string? Name) : Layer(CheckName(Name))
{
    public override bool HasRow => false;

    public override bool EndsInSoftmax => EndInSoftmax(Layers);

    public static Layer Read(LayerReader json) => new BlockLayer(json.Layers("layers"), json.Name);

    public override int AddTo(GraphBuilder graph, int source, string? name) =>
        graph.Within(name!, () => graph.AddLayers(Layers, source));

    protected override void WriteParameters(Utf8JsonWriter json) => json.WriteLayers("layers", Layers);
}

public sealed partial class Sequential
{
    /// <summary>
    /// Layers that follow one another under a common name: inside <c>Block("layer1", …)</c> names begin with
    /// <c>layer1.</c>, and layers without a name are numbered from 0. Blocks may hold blocks. PyTorch:
    /// <c>nn.Sequential</c>, or a module of one's own; Keras: <c>Sequential</c> as a layer.
    /// </summary>
    /// <param name="name">The common name; it may have dots.</param>
    /// <param name="layers">Adds the layers.</param>
    /// <returns>The longer network.</returns>
    public Sequential Block(string name, Func<Sequential, Sequential> layers)
    {
        ArgumentNullException.ThrowIfNull(name);
        return Add(new BlockLayer(Branch(layers), name));
    }

    /// <summary>
    /// Layers under a common name, which is the block's index; see
    /// <see cref="Block(string, Func{Sequential, Sequential})"/>.
    /// </summary>
    /// <param name="layers">Adds the layers.</param>
    /// <returns>The longer network.</returns>
    public Sequential Block(Func<Sequential, Sequential> layers) => Add(new BlockLayer(Branch(layers), null));
}
