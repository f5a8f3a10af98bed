namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// The positive part up to 6, min(max(0, x), 6). PyTorch: <c>nn.ReLU6</c>; Keras: <c>ReLU(max_value=6)</c>.
    /// </summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential ReLU6(string? name = null) => Add(new ReLU6Layer(name));
}
