using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record GELULayer(bool Approximate, string? Name) : ActivationLayer(Name)
{
    public const string FileKind = "gelu";

    public override string Kind => FileKind;

    public override string Type => "GELU";

    public static Layer Read(LayerReader json) => new GELULayer(json.Bool("approximate"), json.Name);

    private protected override MnActivationDesc Describe() =>
        new() { Kind = (int)(Approximate ? MnActivationKind.GeluTanh : MnActivationKind.Gelu) };

    protected override void WriteParameters(Utf8JsonWriter json)
    {
        json.WriteBoolean("approximate", Approximate);
    }
}

public sealed partial class Sequential
{
    /// <summary>
    /// x · Φ(x) with the normal distribution Φ, by erf, or its approximation by tanh. PyTorch: <c>nn.GELU(approximate)</c>;
    /// Keras: <c>activations.gelu</c>.
    /// </summary>
    /// <param name="approximate">Whether Φ is approximated by tanh.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential GELU(bool approximate = false, string? name = null) => Add(new GELULayer(approximate, name));
}
