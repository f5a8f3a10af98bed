using MnistNative.Interop;

namespace MnistNative;

/// <summary>How the losses of a batch's images become one number.</summary>
public enum Reduction
{
    /// <summary>Divided by the number of images.</summary>
    Mean = 0,

    /// <summary>Added up.</summary>
    Sum = 1,
}

/// <summary>What training minimises. Immutable.</summary>
public abstract record Loss
{
    private protected Loss(Reduction reduction) => Reduction = reduction;

    /// <summary>How the losses of a batch's images become one number.</summary>
    public Reduction Reduction { get; }

    /// <summary>What a data set is trained and measured with unless another loss is named.</summary>
    internal static Loss For(IImageDataset data) => data is ImageDataset { TargetLength: > 0 } ? Mse() : CrossEntropy();

    /// <summary>Weights of the classes, which a description of the loss points to; or null.</summary>
    internal float[]? ClassWeights => (this as LabelLoss)?.Weights;

    /// <summary>
    /// Cross-entropy of class labels, taken of raw scores: the network must not end in a softmax, which the loss
    /// contains. PyTorch: <c>nn.CrossEntropyLoss</c>; Keras: <c>SparseCategoricalCrossentropy(from_logits=True)</c>.
    /// </summary>
    /// <param name="reduction">
    /// How the losses of the images become one number; the mean divides by the sum of the weights of the labels that count.
    /// </param>
    /// <param name="classWeights">A weight for each class, not negative; all 1 when null.</param>
    /// <param name="labelSmoothing">Share of the target that is spread over all classes, in [0, 1).</param>
    /// <param name="ignoreIndex">
    /// A label whose images do not count, in the loss, in accuracies and in reports, for example -100 or 255; or null.
    /// </param>
    /// <returns>The loss.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A weight or the smoothing is out of range.</exception>
    public static Loss CrossEntropy(
        Reduction reduction = Reduction.Mean,
        IReadOnlyList<float>? classWeights = null,
        float labelSmoothing = 0f,
        int? ignoreIndex = null) =>
        new LabelLoss(MnLossKind.CrossEntropy, reduction)
        {
            Weights = CheckWeights(classWeights),
            LabelSmoothing = labelSmoothing is >= 0 and < 1
                ? labelSmoothing
                : throw new ArgumentOutOfRangeException(
                    nameof(labelSmoothing), labelSmoothing, "The label smoothing must be at least 0 and less than 1."),
            IgnoreIndex = ignoreIndex,
        };

    /// <summary>
    /// Negative log-likelihood of class labels, taken of log-probabilities: the network ends in a log-softmax. PyTorch:
    /// <c>nn.NLLLoss</c>.
    /// </summary>
    /// <param name="reduction">As for <see cref="CrossEntropy"/>.</param>
    /// <param name="classWeights">A weight for each class, not negative; all 1 when null.</param>
    /// <param name="ignoreIndex">As for <see cref="CrossEntropy"/>.</param>
    /// <returns>The loss.</returns>
    /// <exception cref="ArgumentOutOfRangeException">A weight is out of range.</exception>
    public static Loss Nll(
        Reduction reduction = Reduction.Mean, IReadOnlyList<float>? classWeights = null, int? ignoreIndex = null) =>
        new LabelLoss(MnLossKind.Nll, reduction) { Weights = CheckWeights(classWeights), IgnoreIndex = ignoreIndex };

    /// <summary>
    /// Squared error, (x − t)², of an output of any shape. PyTorch: <c>nn.MSELoss</c>; Keras: <c>MeanSquaredError</c>.
    /// </summary>
    /// <param name="reduction">The mean divides by the number of values.</param>
    /// <returns>The loss.</returns>
    public static Loss Mse(Reduction reduction = Reduction.Mean) => new TargetLoss(MnLossKind.Mse, reduction);

    /// <summary>Absolute error, |x − t|. PyTorch: <c>nn.L1Loss</c>; Keras: <c>MeanAbsoluteError</c>.</summary>
    /// <inheritdoc cref="Mse"/>
    public static Loss L1(Reduction reduction = Reduction.Mean) => new TargetLoss(MnLossKind.L1, reduction);

    /// <summary>
    /// Half the squared error up to <paramref name="delta"/>, linear beyond. PyTorch: <c>nn.HuberLoss</c>; Keras:
    /// <c>Huber</c>.
    /// </summary>
    /// <param name="delta">Where it becomes linear, above 0.</param>
    /// <param name="reduction">The mean divides by the number of values.</param>
    /// <returns>The loss.</returns>
    public static Loss Huber(float delta = 1f, Reduction reduction = Reduction.Mean) =>
        new TargetLoss(MnLossKind.Huber, reduction)
        {
            Delta = float.IsFinite(delta) && delta > 0
                ? delta
                : throw new ArgumentOutOfRangeException(nameof(delta), delta, "The delta must be finite and above 0."),
        };

    /// <summary>
    /// Binary cross-entropy of raw scores, with targets from 0 to 1: the network must not end in a sigmoid, which the
    /// loss contains. PyTorch: <c>nn.BCEWithLogitsLoss</c>; Keras: <c>BinaryCrossentropy(from_logits=True)</c>.
    /// </summary>
    /// <param name="reduction">The mean divides by the number of values.</param>
    /// <returns>The loss.</returns>
    public static Loss BceWithLogits(Reduction reduction = Reduction.Mean) =>
        new TargetLoss(MnLossKind.BceWithLogits, reduction);

    /// <summary>
    /// A loss of the caller's own, of which the library only needs the gradient by the network's output, for networks
    /// without batch normalisation and dropout (see the remarks):
    /// <see cref="Trainer.Accumulate(ReadOnlySpan{float}, ReadOnlySpan{float})"/> and
    /// <see cref="Trainer.Step(ReadOnlySpan{float}, ReadOnlySpan{float})"/> take it with each batch. The loss that they
    /// report is the sum of output × gradient. PyTorch: <c>output.backward(gradient)</c>; Keras: a
    /// <c>GradientTape</c> with <c>output_gradients</c>.
    /// </summary>
    /// <param name="reduction">
    /// <see cref="Reduction.Sum"/> takes the gradients as they are, <see cref="Reduction.Mean"/> divides them by the
    /// number of images.
    /// </param>
    /// <returns>The loss.</returns>
    /// <remarks>
    /// The output to take the gradient by comes from <see cref="Model.Forward(ReadOnlySpan{float}, int)"/>, which is that of
    /// inference. Batch normalisation with statistics that are not frozen, dropout and stochastic depth give another output
    /// in training: there the gradient belongs to an output that the step does not have, and the parameters follow a wrong
    /// one. A trainer for such a network says so to <see cref="MnistNativeLog"/>.
    /// </remarks>
    public static Loss OutputGradient(Reduction reduction = Reduction.Sum) => new OutputGradientLoss(reduction);

    private static float[]? CheckWeights(IReadOnlyList<float>? classWeights)
    {
        float[]? weights = classWeights?.ToArray();
        int wrong = weights is null ? -1 : Array.FindIndex(weights, weight => !(float.IsFinite(weight) && weight >= 0));
        return wrong < 0
            ? weights
            : throw new ArgumentOutOfRangeException(
                nameof(classWeights), weights![wrong], $"Class weights must be finite and not negative; that of class {wrong} is not.");
    }
}

/// <summary>A loss of class labels: see <see cref="Loss.CrossEntropy"/> and <see cref="Loss.Nll"/>.</summary>
/// <param name="Kind">Which.</param>
/// <param name="Reduction">How the losses of the images become one number.</param>
internal sealed record LabelLoss(MnLossKind Kind, Reduction Reduction) : Loss(Reduction)
{
    public float[]? Weights { get; init; }

    public float LabelSmoothing { get; init; }

    public int? IgnoreIndex { get; init; }
}

/// <summary>A loss that compares with values: see <see cref="Loss.Mse"/> and the others.</summary>
/// <param name="Kind">Which.</param>
/// <param name="Reduction">How the losses of the values become one number.</param>
internal sealed record TargetLoss(MnLossKind Kind, Reduction Reduction) : Loss(Reduction)
{
    public float Delta { get; init; } = 1;
}

/// <summary>See <see cref="Loss.OutputGradient"/>.</summary>
/// <param name="Reduction">How the losses of the images become one number.</param>
internal sealed record OutputGradientLoss(Reduction Reduction) : Loss(Reduction);
