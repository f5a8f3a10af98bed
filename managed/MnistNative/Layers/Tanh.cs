namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// The hyperbolic tangent. PyTorch: <c>nn.Tanh</c>; Keras: <c>activations.tanh</c>.
    /// </summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Tanh(string? name = null) => Add(new TanhLayer(name));
}
