namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// log(1 + exp(beta · x)) / beta, and x itself where beta · x is above the threshold. PyTorch:
    /// <c>nn.Softplus(beta, threshold)</c>; Keras: <c>activations.softplus</c>.
    /// </summary>
    /// <param name="beta">Steepness, finite and above 0.</param>
    /// <param name="threshold">Where it becomes the identity.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Softplus(float beta = 1, float threshold = 20, string? name = null) => Add(new SoftplusLayer(
        Finite(beta) > 0 ? beta : throw new ArgumentOutOfRangeException(nameof(beta), beta, "Beta must be above 0."),
        Finite(threshold),
        name));
}
