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
/// Ends training when the validation has stopped improving. Needs <see cref="FitOptions.Validation"/>. Keras:
/// <c>EarlyStopping</c>. Immutable.
/// </summary>
/// <param name="Patience">Epochs without improvement after which training ends, at least 1.</param>
/// <param name="MinDelta">By how much the best must be beaten to count as an improvement, not negative.</param>
/// <param name="Monitor">The metric that has to improve.</param>
/// <param name="RestoreBest">Whether the model ends with the parameters of its best epoch.</param>
public sealed record EarlyStopping(
    int Patience = 3, double MinDelta = 0, EarlyStoppingMetric Monitor = EarlyStoppingMetric.ValidationLoss, bool RestoreBest = true)
{
    internal void Validate(IImageDataset? validation)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(Patience, 1);
        if (!(double.IsFinite(MinDelta) && MinDelta >= 0))
        {
            throw new ArgumentOutOfRangeException(nameof(MinDelta), MinDelta, "MinDelta must be finite and not negative.");
        }

        if (validation is null)
        {
            throw new ArgumentException("Early stopping needs data for validation.", nameof(validation));
        }
    }
}

/// <summary>Early stopping in one training.</summary>
internal sealed class EarlyStoppingRun(EarlyStopping options, Model model)
{
    private double _best = double.PositiveInfinity;
    private int _bad;
    private IReadOnlyList<float[]> _parameters = [];

    /// <summary>The best epoch so far, from 1; 0 before the first.</summary>
    public int BestEpoch { get; private set; }

    /// <summary>Whether training shall end.</summary>
    public bool Ended => _bad >= options.Patience;

    /// <summary>What was noted: with another run's, and its <see cref="BestParameters"/>, this one goes on from there.</summary>
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

    /// <summary>Takes note of an epoch; true when training shall end.</summary>
    public bool EpochEnded(EpochResult epoch)
    {
        EvaluationResult validation = epoch.Validation!.Value;
        double value = options.Monitor == EarlyStoppingMetric.ValidationLoss ? validation.Loss : -validation.Accuracy;
        if (BestEpoch > 0 && !(value < _best - options.MinDelta))
        {
            _bad++;
            return Ended;
        }

        (_best, _bad, BestEpoch) = (double.IsNaN(value) ? double.PositiveInfinity : value, 0, epoch.Epoch);
        if (options.RestoreBest)
        {
            Keep();
        }

        return false;
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
