using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record Dropout2dLayer(float Probability, string? Name) : Layer(CheckName(Name))
{
    public const string FileKind = "dropout2d";

    public override string Kind => FileKind;

    public override string Type => "Dropout2d";

    public static Layer Read(LayerReader json) => new Dropout2dLayer(json.Float("probability"), json.Name);

    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        var desc = new MnDropoutDesc
        {
            StructSize = (uint)sizeof(MnDropoutDesc),
            Probability = Probability,
            Unit = (int)MnDropoutUnit.Channel,
        };
        int node;
        fixed (byte* text = Utf8.ToNative(name))
        {
            Native.Check(NativeMethods.GraphDropout(graph.Value, source, &desc, text, &node));
        }

        return node;
    }

    protected override void WriteParameters(Utf8JsonWriter json)
    {
        json.WriteNumber("probability", Probability);
    }
}

public sealed partial class Sequential
{
    /// <summary>
    /// Dropout of whole channels of an image; see <see cref="Dropout"/>. PyTorch: <c>nn.Dropout2d(p)</c>; Keras:
    /// <c>SpatialDropout2D(rate)</c>.
    /// </summary>
    /// <param name="probability">Probability to be dropped, in [0, 1]; with 1 all values and gradients are zeros in training.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Dropout2d(float probability = 0.5f, string? name = null) =>
        Add(new Dropout2dLayer(DropProbability(probability), name));
}
