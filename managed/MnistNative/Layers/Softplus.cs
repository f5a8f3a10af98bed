using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record SoftplusLayer(float Beta, float Threshold, string? Name) : ActivationLayer(Name)
{
    public const string FileKind = "softplus";

    public override string Kind => FileKind;

    public override string Type => "Softplus";

    public static Layer Read(LayerReader json) =>
        new SoftplusLayer(json.Float("beta"), json.Float("threshold"), json.Name);

    private protected override MnActivationDesc Describe() =>
        new() { Kind = (int)MnActivationKind.Softplus, Alpha = Beta, Threshold = Threshold };

    protected override void WriteParameters(Utf8JsonWriter json)
    {
        json.WriteNumber("beta", Beta);
        json.WriteNumber("threshold", Threshold);
    }
}

public sealed partial class Sequential
{
    /// <summary>
    /// log(1 + exp(beta · x)) / beta, and x itself where beta · x is above the threshold. PyTorch:
    /// <c>nn.Softplus(beta, threshold)</c>; Keras: <c>activations.softplus</c>.
    /// </summary>
    /// <param name="beta">Steepness, finite and above 0.</param>
    /// <param name="threshold">Where it becomes the identity.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Softplus(float beta = 1, float threshold = 20, string? name = null) => Add(new SoftplusLayer(
        Finite(beta) > 0 ? beta : throw new ArgumentOutOfRangeException(nameof(beta), beta, "Beta must be above 0."),
        Finite(threshold),
        name));
}
