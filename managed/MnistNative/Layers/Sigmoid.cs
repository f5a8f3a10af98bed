namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// 1 / (1 + exp(−x)). PyTorch: <c>nn.Sigmoid</c>; Keras: <c>activations.sigmoid</c>.
    /// </summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Sigmoid(string? name = null) => Add(new SigmoidLayer(name));
}
