namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>x · tanh(log(1 + eˣ)). PyTorch: <c>nn.Mish</c>; Keras: <c>mish</c>.</summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Mish(string? name = null) => Add(new MishLayer(name));
}
