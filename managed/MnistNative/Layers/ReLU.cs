namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// The positive part, max(0, x); a NaN stays a NaN. PyTorch: <c>nn.ReLU</c>; Keras: <c>ReLU</c>.
    /// </summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential ReLU(string? name = null) => Add(new ReLULayer(name));
}
