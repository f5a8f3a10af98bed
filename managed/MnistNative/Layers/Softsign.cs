namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>x / (1 + |x|). PyTorch: <c>nn.Softsign</c>; Keras: <c>softsign</c>.</summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Softsign(string? name = null) => Add(new SoftsignLayer(name));
}
