namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// x cut to a range. PyTorch: <c>nn.Hardtanh(min_val, max_val)</c>; Keras: <c>hard_tanh</c>, with the range −1 to 1.
    /// </summary>
    /// <param name="minimum">The smallest result, finite.</param>
    /// <param name="maximum">The largest result, finite and above <paramref name="minimum"/>.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Hardtanh(float minimum = -1, float maximum = 1, string? name = null) => Add(new HardtanhLayer(
        Finite(minimum),
        Finite(maximum) > minimum
            ? maximum
            : throw new ArgumentOutOfRangeException(nameof(maximum), maximum, $"The maximum must be above the minimum of {minimum}."),
        name));
}
