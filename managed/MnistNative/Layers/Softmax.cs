namespace MnistNative;

internal sealed partial record SoftmaxLayer
{
    public override bool EndsInSoftmax => true;
}

public sealed partial class Sequential
{
    /// <summary>
    /// Probabilities of raw scores, exp(x) / Σ exp(x). Leave it out of a network that is to be trained with
    /// <see cref="Loss.CrossEntropy"/>, which contains it: such training is refused.
    /// <see cref="Model.PredictProbabilities(ReadOnlySpan{float}, Span{float})"/> gives probabilities of a network without it too.
    /// PyTorch: <c>nn.Softmax(dim=1)</c>; Keras: <c>Softmax</c>.
    /// </summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Softmax(string? name = null) => Add(new SoftmaxLayer(name));
}
