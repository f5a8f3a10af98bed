namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// Dropout of whole images, put at the end of a residual branch; see <see cref="Dropout"/>. PyTorch:
    /// <c>torchvision.ops.StochasticDepth(p, "row")</c>; Keras: <c>Dropout(rate, noise_shape=(None, 1, 1, 1))</c>.
    /// </summary>
    /// <param name="probability">Probability to be dropped, in [0, 1]; with 1 all values and gradients are zeros in training.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential StochasticDepth(float probability, string? name = null) =>
        Add(new StochasticDepthLayer(DropProbability(probability), name));
}
