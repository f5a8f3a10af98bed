namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// x where it is above a limit, else a value. PyTorch: <c>nn.Threshold(threshold, value)</c>; Keras: <c>threshold</c>, with
    /// the value 0.
    /// </summary>
    /// <param name="limit">What x is compared with, finite.</param>
    /// <param name="value">The result up to it, finite.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Threshold(float limit, float value, string? name = null) =>
        Add(new ThresholdLayer(Finite(limit), Finite(value), name));
}
