namespace MnistNative;

/// <summary>How <see cref="Model.FitAsync"/> trains. Immutable.</summary>
public sealed record FitOptions
{
    /// <summary>Passes over the data, at least 1.</summary>
    public int Epochs { get; init; } = 1;

    /// <summary>
    /// Images in a step, at least 1; the last batch of an epoch may have fewer. Where a single image were left for it, and a
    /// batch normalisation of one value a channel cannot take it, the last but one takes it, too.
    /// </summary>
    public int BatchSize { get; init; } = 64;

    /// <summary>How the parameters follow their gradients. Its state starts at zero in every training.</summary>
    public Optimizer Optimizer { get; init; } = new Adam();

    /// <summary>
    /// What training minimises. When null, the data decides: <see cref="Loss.CrossEntropy"/> for labels,
    /// <see cref="Loss.Mse"/> for <see cref="ImageDataset.Targets"/>. A loss of values has no accuracies.
    /// </summary>
    public Loss? Loss { get; init; }

    /// <summary>Whether every epoch visits the images in another order.</summary>
    public bool Shuffle { get; init; } = true;

    /// <summary>
    /// Seed of all that is random in training; the model's own when null. Together with the model's seed it determines
    /// the result, bit for bit, whatever the number of threads.
    /// </summary>
    public ulong? Seed { get; init; }

    /// <summary>Data that the model is evaluated on after each epoch, or null.</summary>
    public IImageDataset? Validation { get; init; }

    /// <summary>How the learning rate changes; it stays as the optimizer says when null.</summary>
    public LearningRateSchedule? Schedule { get; init; }

    /// <summary>When training ends early, or null. Needs <see cref="Validation"/>.</summary>
    public EarlyStopping? EarlyStopping { get; init; }

    /// <summary>
    /// Whether training ends with a <see cref="TrainingDivergedException"/> as soon as a loss or a parameter is not finite. If
    /// not, it runs on; no checkpoint and no best model is written, and no epoch counts as the best, while they are not.
    /// </summary>
    public bool StopOnNonFinite { get; init; } = true;

    /// <summary>
    /// Ends training after the batch under way, without an exception: <see cref="Model.Fit"/> returns the epochs that were
    /// completed. To be cancelled from <see cref="OnBatch"/>, <see cref="OnEpoch"/>, the progress, or elsewhere. Keras:
    /// <c>model.stop_training = True</c>.
    /// </summary>
    public CancellationToken StopToken { get; init; }

    /// <summary>
    /// File that the model is written to after each epoch whose validation is the best so far, by what
    /// <see cref="EarlyStopping"/> looks at, else by the validation's loss; or null. Needs <see cref="Validation"/>. Keras:
    /// <c>ModelCheckpoint(save_best_only=True)</c>.
    /// </summary>
    public string? BestModel { get; init; }

    /// <summary>See <see cref="TrainerOptions.ClipNorm"/>.</summary>
    public float? ClipNorm { get; init; }

    /// <summary>See <see cref="TrainerOptions.ClipValue"/>.</summary>
    public float? ClipValue { get; init; }

    /// <summary>See <see cref="TrainerOptions.ParameterGroups"/>.</summary>
    public IReadOnlyList<ParameterGroup> ParameterGroups { get; init; } = [];

    /// <summary>
    /// File that the model and the state of the training are written to after each epoch, or null; whether it can be is tried
    /// before the training. <see cref="ResumeFrom"/> goes on from it. Keras: <c>BackupAndRestore</c>.
    /// </summary>
    public string? Checkpoint { get; init; }

    /// <summary>
    /// Checkpoint of an interrupted training to go on from, or null: with otherwise equal options and data, the epochs
    /// that are left give the same bits as without the break. <see cref="EarlyStopping"/> and
    /// <see cref="ReduceOnPlateau"/> go on counting, except from a <see cref="Trainer"/>'s own checkpoint.
    /// </summary>
    public string? ResumeFrom { get; init; }

    /// <summary>Called by the training thread after each batch. Keras: <c>on_train_batch_end</c>.</summary>
    public Action<BatchResult>? OnBatch { get; init; }

    /// <summary>Called by the training thread after each epoch and its validation. Keras: <c>on_epoch_end</c>.</summary>
    public Action<EpochResult>? OnEpoch { get; init; }

    internal TrainerOptions ForTrainer(Loss loss) => new()
    {
        Loss = loss,
        ClipNorm = ClipNorm,
        ClipValue = ClipValue,
        ParameterGroups = ParameterGroups,
    };

    /// <summary>Throws unless all fits together; returns the loss.</summary>
    internal Loss Validate(Model model, IImageDataset train)
    {
        Loss loss = Loss ?? Loss.For(train);
        ArgumentOutOfRangeException.ThrowIfLessThan(Epochs, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(BatchSize, 1);
        ArgumentNullException.ThrowIfNull(Optimizer);
        Optimizer.Validate();
        ForTrainer(loss).Validate();
        Schedule?.Validate();
        foreach ((string? path, string name) in new[] { (Checkpoint, nameof(Checkpoint)), (BestModel, nameof(BestModel)) })
        {
            if (path is not null)
            {
                WritablePath.Check(path, name);
            }
        }

        EarlyStopping?.Validate(Validation, loss);
        if (BestModel is not null && Validation is null)
        {
            throw new ArgumentException("A file for the best model needs data for validation.", nameof(Validation));
        }

        if (loss is OutputGradientLoss)
        {
            throw new ArgumentException(
                "Training on a data set needs a loss of labels or of values; use a trainer for one of your own.", nameof(Loss));
        }

        model.CheckLoss(train, loss);
        if (Validation is not null)
        {
            model.CheckData(Validation);
            model.CheckLoss(Validation, loss);
        }

        return loss;
    }
}
