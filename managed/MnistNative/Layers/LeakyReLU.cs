namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// x where it is positive, else negativeSlope · x. PyTorch: <c>nn.LeakyReLU(negative_slope)</c>; Keras:
    /// <c>LeakyReLU</c>, whose slope is 0.3 unless given.
    /// </summary>
    /// <param name="negativeSlope">Slope below 0, finite.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential LeakyReLU(float negativeSlope = 0.01f, string? name = null) =>
        Add(new LeakyReLULayer(Finite(negativeSlope), name));
}
