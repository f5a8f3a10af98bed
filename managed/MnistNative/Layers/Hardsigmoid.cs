namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// min(max(0, x + 3), 6) / 6. PyTorch: <c>nn.Hardsigmoid</c>; Keras: <c>activations.hard_sigmoid</c>.
    /// </summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Hardsigmoid(string? name = null) => Add(new HardsigmoidLayer(name));
}
