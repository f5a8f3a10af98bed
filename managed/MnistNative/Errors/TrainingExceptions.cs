namespace MnistNative;

/// <summary>
/// Training has met a loss or a parameter that is not finite; see <see cref="FitOptions.StopOnNonFinite"/>.
/// <see cref="Exception.Message"/> says where it was first not finite, and what to try.
/// </summary>
/// <remarks>
/// Checkpoints and the best model on disk are those of the last epoch that was finite. On the processor the model has the
/// parameters of before the batch in question; on a card, which works ahead, they may not be finite any more. Where
/// <see cref="EarlyStopping"/> restores the best epoch, the model has that one's.
/// </remarks>
public sealed class TrainingDivergedException : ArithmeticException
{
    /// <summary>Makes an exception.</summary>
    /// <param name="message">What was not finite, and what to try.</param>
    /// <param name="result">The epochs before.</param>
    /// <param name="epoch">The epoch, from 1.</param>
    /// <param name="batch">The batch of the epoch, from 1.</param>
    /// <param name="loss">The loss.</param>
    /// <param name="layer">The layer that was first not finite.</param>
    public TrainingDivergedException(string message, TrainingResult result, int epoch, int batch, double loss, string? layer)
        : base(message) => (Result, Epoch, Batch, Loss, Layer) = (result, epoch, batch, loss, layer);

    /// <summary>What training did before, without the epoch in which it diverged.</summary>
    public TrainingResult Result { get; }

    /// <summary>The epoch, from 1.</summary>
    public int Epoch { get; }

    /// <summary>The batch of the epoch, from 1; the last one if the epoch's end found it.</summary>
    public int Batch { get; }

    /// <summary>The loss of that batch, or of the validation if that is not finite.</summary>
    public double Loss { get; }

    /// <summary>
    /// Name of the first layer whose parameters or output are not finite (its type where it has no name), <c>Input</c> if the
    /// images are not; null if all layers are finite, or that could not be found out.
    /// </summary>
    public string? Layer { get; }
}

/// <summary>Training was cancelled by its token; <see cref="Result"/> keeps the epochs that were completed.</summary>
public sealed class TrainingCanceledException : OperationCanceledException
{
    /// <summary>Makes an exception.</summary>
    /// <param name="result">The epochs that were completed.</param>
    /// <param name="token">The token that was cancelled.</param>
    public TrainingCanceledException(TrainingResult result, CancellationToken token)
        : base("Training was cancelled.", token) => Result = result;

    /// <summary>What training did before, without the epoch that was under way.</summary>
    public TrainingResult Result { get; }
}
