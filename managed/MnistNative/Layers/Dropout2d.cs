namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// Dropout of whole channels of an image; see <see cref="Dropout"/>. PyTorch: <c>nn.Dropout2d(p)</c>; Keras:
    /// <c>SpatialDropout2D(rate)</c>.
    /// </summary>
    /// <param name="probability">Probability to be dropped, in [0, 1]; with 1 all values and gradients are zeros in training.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Dropout2d(float probability = 0.5f, string? name = null) =>
        Add(new Dropout2dLayer(DropProbability(probability), name));
}
