using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record SigmoidLayer(string? Name) : ActivationLayer(Name)
{
    public const string FileKind = "sigmoid";

    public override string Kind => FileKind;

    public override string Type => "Sigmoid";

    public static Layer Read(LayerReader json) => new SigmoidLayer(json.Name);

    private protected override MnActivationDesc Describe() => new() { Kind = (int)MnActivationKind.Sigmoid };
}

public sealed partial class Sequential
{
    /// <summary>
    /// 1 / (1 + exp(−x)). PyTorch: <c>nn.Sigmoid</c>; Keras: <c>activations.sigmoid</c>.
    /// </summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Sigmoid(string? name = null) => Add(new SigmoidLayer(name));
}
