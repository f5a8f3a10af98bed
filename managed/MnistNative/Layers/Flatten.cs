namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// Makes features of an image, C×H×W to C·H·W values in that order. PyTorch: <c>nn.Flatten</c>; Keras:
    /// <c>Flatten</c>, which by default has the channels last.
    /// </summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Flatten(string? name = null) => Add(new FlattenLayer(name));
}
