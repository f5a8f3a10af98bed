using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record TanhLayer(string? Name) : ActivationLayer(Name)
{
    public const string FileKind = "tanh";

    public override string Kind => FileKind;

    public override string Type => "Tanh";

    public static Layer Read(LayerReader json) => new TanhLayer(json.Name);

    private protected override MnActivationDesc Describe() => new() { Kind = (int)MnActivationKind.Tanh };
}

public sealed partial class Sequential
{
    /// <summary>
    /// The hyperbolic tangent. PyTorch: <c>nn.Tanh</c>; Keras: <c>activations.tanh</c>.
    /// </summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Tanh(string? name = null) => Add(new TanhLayer(name));
}
