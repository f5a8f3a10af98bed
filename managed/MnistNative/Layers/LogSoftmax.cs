namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// The logarithm of the softmax over features, x − log Σ exp(x). PyTorch: <c>nn.LogSoftmax(dim=1)</c>; Keras:
    /// <c>activations.log_softmax</c>.
    /// </summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential LogSoftmax(string? name = null) => Add(new LogSoftmaxLayer(name));
}
