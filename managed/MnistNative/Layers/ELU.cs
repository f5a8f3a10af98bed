using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record ELULayer(float Alpha, string? Name) : ActivationLayer(Name)
{
    public const string FileKind = "elu";

    public override string Kind => FileKind;

    public override string Type => "ELU";

    public static Layer Read(LayerReader json) => new ELULayer(json.Float("alpha"), json.Name);

    private protected override MnActivationDesc Describe() => new() { Kind = (int)MnActivationKind.Elu, Alpha = Alpha };

    protected override void WriteParameters(Utf8JsonWriter json)
    {
        json.WriteNumber("alpha", Alpha);
    }
}

public sealed partial class Sequential
{
    /// <summary>
    /// x where it is positive, else alpha · (exp(x) − 1). PyTorch: <c>nn.ELU(alpha)</c>; Keras: <c>ELU</c>.
    /// </summary>
    /// <param name="alpha">The limit below 0 is −alpha; finite.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential ELU(float alpha = 1, string? name = null) => Add(new ELULayer(Finite(alpha), name));
}
