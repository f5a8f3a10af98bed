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
    private protected Loss()
    {
    }

    /// <summary>
    /// Cross-entropy of class labels, taken of raw scores: the network must not end in a softmax, which the loss
    /// contains. PyTorch: <c>nn.CrossEntropyLoss</c>; Keras: <c>SparseCategoricalCrossentropy(from_logits=True)</c>.
    /// </summary>
    /// <param name="reduction">How the losses of the images become one number.</param>
    /// <returns>The loss.</returns>
    public static Loss CrossEntropy(Reduction reduction = Reduction.Mean) => new CrossEntropyLoss(reduction);

    /// <summary>
    /// A loss of the caller's own, of which the library only needs the gradient by the network's output:
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
    public static Loss OutputGradient(Reduction reduction = Reduction.Sum) => new OutputGradientLoss(reduction);
}

/// <summary>See <see cref="Loss.CrossEntropy"/>.</summary>
/// <param name="Reduction">How the losses of the images become one number.</param>
internal sealed record CrossEntropyLoss(Reduction Reduction) : Loss;

/// <summary>See <see cref="Loss.OutputGradient"/>.</summary>
/// <param name="Reduction">How the losses of the images become one number.</param>
internal sealed record OutputGradientLoss(Reduction Reduction) : Loss;
