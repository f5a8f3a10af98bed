namespace MnistNative;

/// <summary>How <see cref="Model.FitAsync"/> trains. Immutable.</summary>
public sealed record FitOptions
{
    /// <summary>Passes over the data, at least 1.</summary>
    public int Epochs { get; init; } = 1;

    /// <summary>Images in a step, at least 1; the last batch of an epoch may have fewer.</summary>
    public int BatchSize { get; init; } = 64;

    /// <summary>How the parameters follow their gradients. Its state starts at zero in every training.</summary>
    public Optimizer Optimizer { get; init; } = new Adam();

    /// <summary>
    /// What training minimises: a loss of labels, or with <see cref="ImageDataset.Targets"/> one of values, for which
    /// accuracies are 0.
    /// </summary>
    public Loss Loss { get; init; } = Loss.CrossEntropy();

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

    internal TrainerOptions ForTrainer => new()
    {
        Loss = Loss,
        ClipNorm = ClipNorm,
        ClipValue = ClipValue,
        ParameterGroups = ParameterGroups,
    };

    internal void Validate(Model model, IImageDataset train)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(Epochs, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(BatchSize, 1);
        ArgumentNullException.ThrowIfNull(Optimizer);
        ArgumentNullException.ThrowIfNull(Loss);
        Optimizer.Validate();
        ForTrainer.Validate();
        Schedule?.Validate();
        if (Checkpoint is not null)
        {
            WritablePath.Check(Checkpoint, nameof(Checkpoint));
        }

        EarlyStopping?.Validate(Validation);
        if (Loss is OutputGradientLoss)
        {
            throw new ArgumentException(
                "Training on a data set needs a loss of labels or of values; use a trainer for one of your own.", nameof(Loss));
        }

        model.CheckTargets(train, Loss);
        if (Validation is not null)
        {
            model.CheckData(Validation);
            model.CheckTargets(Validation, Loss);
        }
    }
}
