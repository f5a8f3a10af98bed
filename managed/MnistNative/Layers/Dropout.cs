using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record DropoutLayer(float Probability, string? Name) : Layer(CheckName(Name))
{
    public const string FileKind = "dropout";

    public override string Kind => FileKind;

    public override string Type => "Dropout";

    public static Layer Read(LayerReader json) => new DropoutLayer(json.Float("probability"), json.Name);

    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        var desc = new MnDropoutDesc
        {
            StructSize = (uint)sizeof(MnDropoutDesc),
            Probability = Probability,
            Unit = (int)MnDropoutUnit.Element,
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
    /// In training sets each value to 0 with the given probability and divides the others by 1 − probability; without
    /// training nothing happens. Drawn from the model's seed, the layer and the number of the step, so a run repeats bit
    /// for bit. PyTorch: <c>nn.Dropout(p)</c>; Keras: <c>Dropout(rate)</c>.
    /// </summary>
    /// <param name="probability">Probability to be dropped, in [0, 1]; with 1 all values and gradients are zeros in training.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Dropout(float probability = 0.5f, string? name = null) =>
        Add(new DropoutLayer(DropProbability(probability), name));

    private static float DropProbability(float probability) => probability is >= 0 and <= 1
        ? probability
        : throw new ArgumentOutOfRangeException(nameof(probability), probability, "A dropout's probability must be in [0, 1].");
}
