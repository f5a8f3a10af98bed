using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record SiLULayer(string? Name) : ActivationLayer(Name)
{
    public const string FileKind = "silu";

    public override string Kind => FileKind;

    public override string Type => "SiLU";

    public static Layer Read(LayerReader json) => new SiLULayer(json.Name);

    private protected override MnActivationDesc Describe() => new() { Kind = (int)MnActivationKind.Silu };
}

public sealed partial class Sequential
{
    /// <summary>
    /// x · sigmoid(x), also called swish. PyTorch: <c>nn.SiLU</c>; Keras: <c>activations.silu</c>.
    /// </summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential SiLU(string? name = null) => Add(new SiLULayer(name));
}
