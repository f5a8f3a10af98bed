using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record ReLULayer(string? Name) : ActivationLayer(Name)
{
    public const string FileKind = "relu";

    public override string Kind => FileKind;

    public override string Type => "ReLU";

    public static Layer Read(LayerReader json) => new ReLULayer(json.Name);

    private protected override MnActivationDesc Describe() => new() { Kind = (int)MnActivationKind.Relu };
}

public sealed partial class Sequential
{
    /// <summary>
    /// The positive part, max(0, x); a NaN stays a NaN. PyTorch: <c>nn.ReLU</c>; Keras: <c>ReLU</c>.
    /// </summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential ReLU(string? name = null) => Add(new ReLULayer(name));
}
