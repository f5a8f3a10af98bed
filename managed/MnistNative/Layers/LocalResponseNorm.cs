namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// Normalises across neighbouring channels, x / (k + alpha / size · Σ x²)^beta, the sum over size channels around.
    /// PyTorch: <c>nn.LocalResponseNorm(size, alpha, beta, k)</c>; Keras has none, TensorFlow
    /// <c>tf.nn.local_response_normalization</c>, whose alpha is not divided by the size.
    /// </summary>
    /// <param name="size">Number of channels in the sum.</param>
    /// <param name="alpha">Factor of the sum, not negative.</param>
    /// <param name="beta">Exponent, not negative.</param>
    /// <param name="k">Added to the sum, not negative.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential LocalResponseNorm(int size, float alpha = 1e-4f, float beta = 0.75f, float k = 1, string? name = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(size, 1);
        return Add(new LocalResponseNormLayer(size, NotNegative(alpha), NotNegative(beta), NotNegative(k), name));
    }
}
