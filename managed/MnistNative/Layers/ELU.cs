namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// x where it is positive, else alpha · (exp(x) − 1). PyTorch: <c>nn.ELU(alpha)</c>; Keras: <c>ELU</c>.
    /// </summary>
    /// <param name="alpha">The limit below 0 is −alpha; finite.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential ELU(float alpha = 1, string? name = null) => Add(new ELULayer(Finite(alpha), name));
}
