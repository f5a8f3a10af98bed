namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// x where it is positive, else weight · x with a trained weight. Parameter: <c>weight</c>. PyTorch:
    /// <c>nn.PReLU(num_parameters, init)</c>; Keras: <c>PReLU</c>, whose slopes begin with 0.
    /// </summary>
    /// <param name="parameters">1 for one slope, or the number of channels (or features) for one each.</param>
    /// <param name="initial">First value of every slope, finite.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential PReLU(int parameters = 1, float initial = 0.25f, string? name = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(parameters, 1);
        return Add(new PReLULayer(parameters, Finite(initial), name));
    }
}
