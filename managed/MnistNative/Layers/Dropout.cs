namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// In training sets each value to 0 with the given probability and divides the others by 1 − probability; without
    /// training nothing happens. Drawn from the model's seed, the layer and the number of the step, so a run repeats bit
    /// for bit. PyTorch: <c>nn.Dropout(p)</c>; Keras: <c>Dropout(rate)</c>.
    /// </summary>
    /// <param name="probability">Probability to be dropped, in [0, 1]; with 1 all values and gradients are zeros in training.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Dropout(float probability = 0.5f, string? name = null) =>
        Add(new DropoutLayer(DropProbability(probability), name));

    private static float DropProbability(float probability) => probability is >= 0 and <= 1
        ? probability
        : throw new ArgumentOutOfRangeException(nameof(probability), probability, "A dropout's probability must be in [0, 1].");
}
