using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record LeakyReLULayer(float NegativeSlope, string? Name) : ActivationLayer(Name)
{
    public const string FileKind = "leaky_relu";

    public override string Kind => FileKind;

    public override string Type => "LeakyReLU";

    public static Layer Read(LayerReader json) => new LeakyReLULayer(json.Float("negative_slope"), json.Name);

    private protected override MnActivationDesc Describe() => new() { Kind = (int)MnActivationKind.LeakyRelu, Alpha = NegativeSlope };

    protected override void WriteParameters(Utf8JsonWriter json)
    {
        json.WriteNumber("negative_slope", NegativeSlope);
    }
}

public sealed partial class Sequential
{
    /// <summary>
    /// x where it is positive, else negativeSlope · x. PyTorch: <c>nn.LeakyReLU(negative_slope)</c>; Keras:
    /// <c>LeakyReLU</c>, whose slope is 0.3 unless given.
    /// </summary>
    /// <param name="negativeSlope">Slope below 0, finite.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential LeakyReLU(float negativeSlope = 0.01f, string? name = null) =>
        Add(new LeakyReLULayer(Finite(negativeSlope), name));
}
