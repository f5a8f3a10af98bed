using System.Collections.Immutable;
using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed partial record HeadLayer(float Weight, ImmutableArray<Layer> Layers, string? Name) : Layer(CheckName(Name))
{
    public override bool HasRow => false;

    public static Layer Read(LayerReader json) => new HeadLayer(json.Float("weight"), json.Layers("layers"), json.Name);

    public override int AddTo(GraphBuilder graph, int source, string? name)
    {
        graph.AddHead(name!, Weight, () => graph.AddLayers(Layers, source));
        return source;
    }

    protected override void WriteParameters(Utf8JsonWriter json)
    {
        json.WriteNumber("weight", Weight);
        json.WriteLayers("layers", Layers);
    }
}

public sealed partial class Sequential
{
    /// <summary>
    /// An auxiliary head, as GoogLeNet's: layers that branch off here and end in scores of their own. In training their
    /// loss, of the same kind as the network's, is added with the given weight; otherwise they are not run. The network
    /// goes on as if the head were not there. PyTorch: a second output and <c>loss + weight * auxiliary_loss</c>; Keras:
    /// <c>compile(loss_weights=…)</c>.
    /// </summary>
    /// <param name="name">Begins the names of the layers inside, for example <c>aux1</c>.</param>
    /// <param name="weight">Factor of the head's loss, finite and not negative; GoogLeNet's is 0.3.</param>
    /// <param name="layers">Adds the layers of the head.</param>
    /// <returns>The longer network.</returns>
    public Sequential Head(string name, float weight, Func<Sequential, Sequential> layers)
    {
        ArgumentNullException.ThrowIfNull(name);
        return Add(new HeadLayer(NotNegative(weight), Branch(layers), name));
    }
}
