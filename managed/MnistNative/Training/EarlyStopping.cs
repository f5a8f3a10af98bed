namespace MnistNative;

/// <summary>The validation metric that early stopping watches.</summary>
public enum EarlyStoppingMetric
{
    /// <summary>The validation's loss, which should fall.</summary>
    ValidationLoss = 0,

    /// <summary>The validation's accuracy, which should rise.</summary>
    ValidationAccuracy = 1,
}

/// <summary>
/// Ends training when the validation has stopped improving. Needs <see cref="FitOptions.Validation"/>. An epoch whose
/// validation is NaN is no improvement and never the best. Keras: <c>EarlyStopping</c>. Immutable.
/// </summary>
/// <param name="Patience">Epochs without improvement after which training ends, at least 1.</param>
/// <param name="MinDelta">By how much the best must be beaten to count as an improvement, not negative.</param>
/// <param name="Monitor">The metric that has to improve. A loss of values has no accuracy.</param>
/// <param name="RestoreBest">
/// Whether the model ends with the parameters of its best epoch, also when training is cancelled, stopped or diverges.
/// </param>
public sealed record EarlyStopping(
    int Patience = 3, double MinDelta = 0, EarlyStoppingMetric Monitor = EarlyStoppingMetric.ValidationLoss, bool RestoreBest = true)
{
    internal void Validate(IImageDataset? validation, Loss loss)
    {
        if (!Enum.IsDefined(Monitor))
        {
            throw new ArgumentOutOfRangeException(nameof(Monitor), Monitor, "There is nothing of that number to look at.");
        }

        ArgumentOutOfRangeException.ThrowIfLessThan(Patience, 1);
        if (!(double.IsFinite(MinDelta) && MinDelta >= 0))
        {
            throw new ArgumentOutOfRangeException(nameof(MinDelta), MinDelta, "MinDelta must be finite and not negative.");
        }

        if (validation is null)
        {
            throw new ArgumentException("Early stopping needs data for validation.", nameof(validation));
        }

        if (Monitor == EarlyStoppingMetric.ValidationAccuracy && loss is not LabelLoss)
        {
            throw new ArgumentException(
                "Early stopping looks at the accuracy, and a loss of values has none: take EarlyStoppingMetric.ValidationLoss.", nameof(Monitor));
        }
    }
}

/// <summary>Early stopping in one training, and which epoch is the best.</summary>
/// <param name="options">When to stop; null for never.</param>
/// <param name="model">The model.</param>
internal sealed class EarlyStoppingRun(EarlyStopping? options, Model model)
{
    private double _best = double.PositiveInfinity;
    private int _bad;
    private IReadOnlyList<float[]> _parameters = [];

    /// <summary>The best epoch so far, from 1; 0 before the first.</summary>
    public int BestEpoch { get; private set; }

    /// <summary>Whether training shall end.</summary>
    public bool Ended => _bad >= options?.Patience;

    /// <summary>The run's counters. Assigning another run's, and its <see cref="BestParameters"/>, resumes that run.</summary>
    public IReadOnlyList<double> State
    {
        get => [_best, _bad, BestEpoch];
        set => (_best, _bad, BestEpoch) = (value[0], (int)value[1], (int)value[2]);
    }

    /// <summary>The parameters of the best epoch; empty before the first, and where they are not kept.</summary>
    public IReadOnlyList<float[]> BestParameters
    {
        get => _parameters;
        set => _parameters = value;
    }

    /// <summary>Takes note of an epoch; true if it is the best so far.</summary>
    /// <param name="epoch">The epoch.</param>
    /// <param name="finite">Whether losses and parameters are finite; if not, it cannot be the best.</param>
    public bool EpochEnded(EpochResult epoch, bool finite)
    {
        EvaluationResult validation = epoch.Validation!.Value;
        double value = options?.Monitor == EarlyStoppingMetric.ValidationAccuracy ? -(validation.Accuracy ?? double.NaN) : validation.Loss;
        bool better = BestEpoch == 0 ? !double.IsNaN(value) : value < _best - (options?.MinDelta ?? 0);
        if (!finite || !better)
        {
            _bad++;
            return false;
        }

        (_best, _bad, BestEpoch) = (value, 0, epoch.Epoch);
        if (options?.RestoreBest == true)
        {
            Keep();
        }

        return true;
    }

    /// <summary>Gives the model the parameters of its best epoch.</summary>
    public void Restore()
    {
        model.WriteAll([.. _parameters.Select((values, i) => new ParameterWrite(i, values))]);
    }

    private void Keep()
    {
        if (_parameters.Count == 0)
        {
            _parameters = [.. model.Parameters.Select(parameter => new float[parameter.Count])];
        }

        for (int i = 0; i < _parameters.Count; i++)
        {
            model.GetParameter(model.Parameters[i].Name, _parameters[i]);
        }
    }
}
