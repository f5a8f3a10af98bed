namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// A fully connected layer, y = x·Wᵀ + b, of F features; put <see cref="Flatten"/> before it where the input is an
    /// image. Parameters: <c>weight</c> of outFeatures×F, <c>bias</c> of outFeatures.
    /// PyTorch: <c>nn.Linear(F, outFeatures, bias)</c>; Keras: <c>Dense</c>.
    /// </summary>
    /// <param name="outFeatures">Number of output features.</param>
    /// <param name="bias">Whether a bias is added.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Linear(int outFeatures, bool bias = true, string? name = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(outFeatures, 1);
        return Add(new LinearLayer(outFeatures, bias, name));
    }
}
