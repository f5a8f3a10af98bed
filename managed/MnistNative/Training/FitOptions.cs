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

    /// <summary>What training minimises.</summary>
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

    internal void Validate(Model model)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(Epochs, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(BatchSize, 1);
        ArgumentNullException.ThrowIfNull(Optimizer);
        ArgumentNullException.ThrowIfNull(Loss);
        Optimizer.Validate();
        if (Loss is OutputGradientLoss)
        {
            throw new ArgumentException("Training on a data set needs a loss of labels; use a trainer for one of your own.", nameof(Loss));
        }

        if (Validation is not null)
        {
            model.CheckData(Validation);
        }
    }
}
