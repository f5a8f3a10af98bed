using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record StochasticDepthLayer(float Probability, string? Name) : Layer(CheckName(Name))
{
    public const string FileKind = "stochastic_depth";

    public override string Kind => FileKind;

    public override string Type => "StochasticDepth";

    public static Layer Read(LayerReader json) => new StochasticDepthLayer(json.Float("probability"), json.Name);

    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        var desc = new MnDropoutDesc
        {
            StructSize = (uint)sizeof(MnDropoutDesc),
            Probability = Probability,
            Unit = (int)MnDropoutUnit.Image,
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
    /// Dropout of whole images, put at the end of a residual branch; see <see cref="Dropout"/>. PyTorch:
    /// <c>torchvision.ops.StochasticDepth(p, "row")</c>; Keras: <c>Dropout(rate, noise_shape=(None, 1, 1, 1))</c>.
    /// </summary>
    /// <param name="probability">Probability to be dropped, in [0, 1]; with 1 all values and gradients are zeros in training.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential StochasticDepth(float probability, string? name = null) =>
        Add(new StochasticDepthLayer(DropProbability(probability), name));
}
