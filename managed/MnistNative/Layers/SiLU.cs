namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// x · sigmoid(x), also called swish. PyTorch: <c>nn.SiLU</c>; Keras: <c>activations.silu</c>.
    /// </summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential SiLU(string? name = null) => Add(new SiLULayer(name));
}
