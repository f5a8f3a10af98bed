namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// x · min(max(0, x + 3), 6) / 6, as MobileNet v3 has it. PyTorch: <c>nn.Hardswish</c>; Keras: <c>activations.hard_silu</c>.
    /// </summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Hardswish(string? name = null) => Add(new HardswishLayer(name));
}
