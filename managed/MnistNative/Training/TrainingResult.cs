using System.Globalization;

namespace MnistNative;

/// <summary>One epoch of a training.</summary>
/// <param name="Epoch">Its number, from 1.</param>
/// <param name="Loss">
/// The loss of all its images, each before its batch's update: for a mean, the mean over what counts, as
/// <see cref="Model.Evaluate(IImageDataset, Loss, CancellationToken)"/> has it, not the mean of the batches' losses.
/// </param>
/// <param name="Accuracy">
/// Share of the images whose label counts that were right before their batch's update, 0 to 1; null where there are none, as
/// with a loss of values.
/// </param>
/// <param name="Validation">Evaluation after the epoch, if there was data for it.</param>
/// <param name="Elapsed">Time of the epoch's steps, without the evaluation.</param>
/// <param name="ImagesPerSecond">Images trained on a second.</param>
public sealed record EpochResult(
    int Epoch, double Loss, double? Accuracy, EvaluationResult? Validation, TimeSpan Elapsed, double ImagesPerSecond)
{
    /// <summary>
    /// For example <c>epoch 2: loss 0.1285, accuracy 96.22%, validation loss 0.1098, accuracy 96.76%, 1.5 s, 40,187 images/s</c>.
    /// </summary>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"epoch {Epoch}: {EvaluationResult.Text(Loss, Accuracy)}{(Validation is { } found ? $", validation {found}" : "")}, {Elapsed.TotalSeconds:F1} s, {ImagesPerSecond:N0} images/s");
}

/// <summary>What a training did. Keras: <c>History</c>.</summary>
/// <param name="Epochs">The epochs in order.</param>
/// <param name="Elapsed">Time of the whole, evaluations included.</param>
/// <param name="Device">Where it ran.</param>
public sealed record TrainingResult(IReadOnlyList<EpochResult> Epochs, TimeSpan Elapsed, DeviceInfo Device)
{
    /// <summary>
    /// The epoch with the best validation, from 1, where <see cref="FitOptions.EarlyStopping"/> or
    /// <see cref="FitOptions.BestModel"/> asked for it; null otherwise, and where no epoch had a validation that is a number.
    /// </summary>
    public int? BestEpoch { get; init; }

    /// <summary>
    /// Whether training ended before its last epoch: by early stopping, by <see cref="FitOptions.StopToken"/>, or by what an
    /// exception that holds this result tells.
    /// </summary>
    public bool StoppedEarly { get; init; }

    /// <summary>A line for each epoch, and the time of the whole.</summary>
    public override string ToString() => string.Join(
        Environment.NewLine,
        Epochs.Select(epoch => epoch.ToString())
            .Append(string.Create(CultureInfo.InvariantCulture, $"{Epochs.Count} {(Epochs.Count == 1 ? "epoch" : "epochs")} in {Elapsed.TotalSeconds:F1} s on {Device}")));
}

/// <summary>One batch of a training.</summary>
/// <param name="Epoch">Its epoch, from 1.</param>
/// <param name="Batch">Its number in the epoch, from 1.</param>
/// <param name="Batches">Batches of an epoch.</param>
/// <param name="LearningRate">The learning rate of its update.</param>
/// <param name="Step">Loss and hits before the update.</param>
public readonly record struct BatchResult(int Epoch, int Batch, int Batches, float LearningRate, StepResult Step);

/// <summary>How far a training is.</summary>
/// <param name="Epoch">The epoch under way, or just over, from 1.</param>
/// <param name="Epochs">Number of epochs.</param>
/// <param name="Batch">Batches done in this epoch.</param>
/// <param name="Batches">Batches of an epoch.</param>
/// <param name="Loss">The loss of this epoch's images so far, as <see cref="EpochResult.Loss"/> has it.</param>
/// <param name="Accuracy">
/// Share of this epoch's images whose label counts that were right so far; null where there are none.
/// </param>
/// <param name="ImagesPerSecond">Images trained on a second in this epoch so far.</param>
/// <param name="Completed">The epoch, if it is just over; null within an epoch.</param>
public sealed record TrainingProgress(
    int Epoch,
    int Epochs,
    int Batch,
    int Batches,
    double Loss,
    double? Accuracy,
    double ImagesPerSecond,
    EpochResult? Completed);
