using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record HardswishLayer(string? Name) : ActivationLayer(Name)
{
    public const string FileKind = "hardswish";

    public override string Kind => FileKind;

    public override string Type => "Hardswish";

    public static Layer Read(LayerReader json) => new HardswishLayer(json.Name);

    private protected override MnActivationDesc Describe() => new() { Kind = (int)MnActivationKind.Hardswish };
}

public sealed partial class Sequential
{
    /// <summary>
    /// x · min(max(0, x + 3), 6) / 6, as MobileNet v3 has it. PyTorch: <c>nn.Hardswish</c>; Keras: <c>activations.hard_silu</c>.
    /// </summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Hardswish(string? name = null) => Add(new HardswishLayer(name));
}
