namespace MnistNative;

/// <summary>
/// How the learning rate changes in <see cref="Model.FitAsync"/>. PyTorch: <c>torch.optim.lr_scheduler</c>; Keras:
/// <c>LearningRateSchedule</c>. Immutable.
/// </summary>
public abstract record LearningRateSchedule
{
    private protected LearningRateSchedule()
    {
    }

    /// <summary>The learning rate of a batch.</summary>
    /// <param name="learningRate">The optimizer's learning rate.</param>
    /// <param name="batch">Number of the batch since training began, from 0.</param>
    /// <param name="batchesPerEpoch">Batches of an epoch, at least 1.</param>
    /// <param name="epochs">Epochs of the training, at least 1.</param>
    /// <returns>The rate. What depends on how training goes is left out.</returns>
    /// <exception cref="ArgumentOutOfRangeException">An argument or a number of the schedule is out of range.</exception>
    public double RateAt(double learningRate, long batch, int batchesPerEpoch, int epochs)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(batch);
        ArgumentOutOfRangeException.ThrowIfLessThan(batchesPerEpoch, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(epochs, 1);
        Validate();
        return Rate(learningRate, batch, batchesPerEpoch, (long)batchesPerEpoch * epochs);
    }

    /// <summary>The rate of batch <paramref name="step"/> of <paramref name="steps"/>.</summary>
    internal abstract double Rate(double learningRate, long step, int batchesPerEpoch, long steps);

    /// <summary>Throws when a number is out of range.</summary>
    internal abstract void Validate();

    /// <summary>Begins a training, or the part of one that a warm-up leaves, of so many batches.</summary>
    internal virtual ScheduleRun Start(double learningRate, int batchesPerEpoch, long steps) =>
        new FixedScheduleRun(this, learningRate, batchesPerEpoch, steps);

    private protected static void Check(bool valid, string name, object value, string rule)
    {
        if (!valid)
        {
            throw new ArgumentOutOfRangeException(name, value, $"{name} must be {rule}.");
        }
    }
}

/// <summary>A schedule in one training.</summary>
internal abstract class ScheduleRun
{
    /// <summary>The rate of a batch, counted from 0.</summary>
    public abstract double Rate(long step);

    /// <summary>What the rate depends on besides the number of the batch: with another run's, this one goes on from there.</summary>
    public virtual IReadOnlyList<double> State
    {
        get => [];
        set { }
    }

    /// <summary>Takes note of the loss after an epoch.</summary>
    public virtual void EpochEnded(double loss)
    {
    }
}

/// <summary>A schedule that does not depend on how training goes.</summary>
internal sealed class FixedScheduleRun(LearningRateSchedule schedule, double learningRate, int batchesPerEpoch, long steps) : ScheduleRun
{
    public override double Rate(long step) => schedule.Rate(learningRate, step, batchesPerEpoch, steps);
}

/// <summary>The rate falls by a factor every few epochs. PyTorch: <c>StepLR</c>.</summary>
/// <param name="StepSize">Epochs from one fall to the next, at least 1.</param>
/// <param name="Gamma">The factor, finite and not negative.</param>
public sealed record StepLr(int StepSize, double Gamma = 0.1) : LearningRateSchedule
{
    internal override double Rate(double learningRate, long step, int batchesPerEpoch, long steps) =>
        learningRate * Math.Pow(Gamma, step / batchesPerEpoch / StepSize);

    internal override void Validate()
    {
        Check(StepSize >= 1, nameof(StepSize), StepSize, "at least 1");
        Check(double.IsFinite(Gamma) && Gamma >= 0, nameof(Gamma), Gamma, "finite and not negative");
    }
}

/// <summary>The rate falls by a factor every epoch. PyTorch: <c>ExponentialLR</c>; Keras: <c>ExponentialDecay</c>.</summary>
/// <param name="Gamma">The factor, finite and not negative.</param>
public sealed record ExponentialLr(double Gamma) : LearningRateSchedule
{
    internal override double Rate(double learningRate, long step, int batchesPerEpoch, long steps) =>
        learningRate * Math.Pow(Gamma, step / batchesPerEpoch);

    internal override void Validate() =>
        Check(double.IsFinite(Gamma) && Gamma >= 0, nameof(Gamma), Gamma, "finite and not negative");
}

/// <summary>
/// The rate follows half a cosine down, epoch by epoch. PyTorch: <c>CosineAnnealingLR</c>; Keras: <c>CosineDecay</c>.
/// </summary>
/// <param name="Epochs">
/// Epochs until the lowest rate (PyTorch's <c>T_max</c>); when null those of the training, or after a warm-up those that it
/// leaves, a part of an epoch counting as one.
/// </param>
/// <param name="MinLearningRate">The lowest rate (<c>eta_min</c>), not negative.</param>
public sealed record CosineAnnealingLr(int? Epochs = null, double MinLearningRate = 0) : LearningRateSchedule
{
    internal override double Rate(double learningRate, long step, int batchesPerEpoch, long steps)
    {
        double length = Epochs ?? (((steps - 1) / batchesPerEpoch) + 1);
        double share = step / batchesPerEpoch / length;
        return MinLearningRate + ((learningRate - MinLearningRate) * (1 + Math.Cos(Math.PI * share)) / 2);
    }

    internal override void Validate()
    {
        Check(Epochs is null or >= 1, nameof(Epochs), Epochs ?? 0, "at least 1, or null");
        Check(double.IsFinite(MinLearningRate) && MinLearningRate >= 0, nameof(MinLearningRate), MinLearningRate, "finite and not negative");
    }
}

/// <summary>
/// The rate rises to the optimizer's and falls to nearly 0, both along a cosine, batch by batch (Smith and Topin, 2019).
/// PyTorch: <c>OneCycleLR</c> with <c>max_lr</c> the optimizer's rate and <c>cycle_momentum=False</c>.
/// </summary>
/// <param name="RiseShare">Share of the batches in which it rises (<c>pct_start</c>), above 0 and below 1.</param>
/// <param name="DivFactor">The highest rate over the first, at least 1.</param>
/// <param name="FinalDivFactor">The first rate over the last, at least 1.</param>
public sealed record OneCycleLr(double RiseShare = 0.3, double DivFactor = 25, double FinalDivFactor = 1e4) : LearningRateSchedule
{
    internal override double Rate(double learningRate, long step, int batchesPerEpoch, long steps)
    {
        double first = learningRate / DivFactor;
        double top = (RiseShare * steps) - 1;
        return step <= top
            ? Anneal(first, learningRate, step / top)
            : Anneal(learningRate, first / FinalDivFactor, (Math.Min(step, steps - 1) - top) / (steps - 1 - top));
    }

    internal override void Validate()
    {
        Check(RiseShare is > 0 and < 1, nameof(RiseShare), RiseShare, "above 0 and below 1");
        Check(double.IsFinite(DivFactor) && DivFactor >= 1, nameof(DivFactor), DivFactor, "at least 1");
        Check(double.IsFinite(FinalDivFactor) && FinalDivFactor >= 1, nameof(FinalDivFactor), FinalDivFactor, "at least 1");
    }

    // 0 / 0, where a part has one batch only, is its end.
    private static double Anneal(double from, double to, double share) =>
        double.IsFinite(share) ? to + ((from - to) / 2 * (1 + Math.Cos(Math.PI * share))) : to;
}

/// <summary>
/// The rate rises evenly, batch by batch, then follows another schedule, which counts batches and epochs from there.
/// PyTorch: <c>LinearLR</c> in a <c>SequentialLR</c>; Keras: <c>warmup_steps</c>.
/// </summary>
/// <param name="Batches">Batches until the full rate, at least 1.</param>
/// <param name="StartFactor">The first rate over the full one, above 0 and at most 1.</param>
/// <param name="Then">What follows; null for the optimizer's rate.</param>
public sealed record LinearWarmup(int Batches, double StartFactor = 1.0 / 3, LearningRateSchedule? Then = null) : LearningRateSchedule
{
    internal override double Rate(double learningRate, long step, int batchesPerEpoch, long steps) =>
        step < Batches ? Rising(learningRate, step)
        : Then is null ? learningRate
        : Then.Rate(learningRate, step - Batches, batchesPerEpoch, Math.Max(1, steps - Batches));

    internal override void Validate()
    {
        Check(Batches >= 1, nameof(Batches), Batches, "at least 1");
        Check(StartFactor is > 0 and <= 1, nameof(StartFactor), StartFactor, "above 0 and at most 1");
        Then?.Validate();
    }

    internal override ScheduleRun Start(double learningRate, int batchesPerEpoch, long steps) =>
        Then is null
            ? base.Start(learningRate, batchesPerEpoch, steps)
            : new Warming(this, learningRate, Then.Start(learningRate, batchesPerEpoch, Math.Max(1, steps - Batches)));

    private double Rising(double learningRate, long step) =>
        learningRate * (StartFactor + ((1 - StartFactor) * step / Batches));

    private sealed class Warming(LinearWarmup warmup, double learningRate, ScheduleRun then) : ScheduleRun
    {
        private bool _warm;

        public override double Rate(long step)
        {
            _warm = step >= warmup.Batches;
            return _warm ? then.Rate(step - warmup.Batches) : warmup.Rising(learningRate, step);
        }

        public override IReadOnlyList<double> State
        {
            get => then.State;
            set => then.State = value;
        }

        // What follows counts from the warm-up's end: it is not told of epochs that the warm-up filled.
        public override void EpochEnded(double loss)
        {
            if (_warm)
            {
                then.EpochEnded(loss);
            }
        }
    }
}

/// <summary>
/// The rate falls when the loss has stopped falling: the validation's, or the training's where there is no validation.
/// PyTorch: <c>ReduceLROnPlateau</c>; Keras: <c>ReduceLROnPlateau</c>.
/// </summary>
/// <param name="Factor">By which the rate falls, above 0 and below 1.</param>
/// <param name="Patience">Epochs without improvement that are let pass.</param>
/// <param name="Threshold">Share by which the best loss must be undercut to count as an improvement.</param>
/// <param name="Cooldown">Epochs after a fall in which nothing is counted.</param>
/// <param name="MinLearningRate">The lowest rate.</param>
public sealed record ReduceOnPlateau(
    double Factor = 0.1, int Patience = 10, double Threshold = 1e-4, int Cooldown = 0, double MinLearningRate = 0) : LearningRateSchedule
{
    // PyTorch's eps: smaller changes are not made.
    private const double LeastChange = 1e-8;

    internal override double Rate(double learningRate, long step, int batchesPerEpoch, long steps) => learningRate;

    internal override void Validate()
    {
        Check(Factor is > 0 and < 1, nameof(Factor), Factor, "above 0 and below 1");
        Check(Patience >= 0, nameof(Patience), Patience, "not negative");
        Check(Threshold is >= 0 and < 1, nameof(Threshold), Threshold, "not negative and below 1");
        Check(Cooldown >= 0, nameof(Cooldown), Cooldown, "not negative");
        Check(double.IsFinite(MinLearningRate) && MinLearningRate >= 0, nameof(MinLearningRate), MinLearningRate, "finite and not negative");
    }

    internal override ScheduleRun Start(double learningRate, int batchesPerEpoch, long steps) => new Watching(this, learningRate);

    private sealed class Watching(ReduceOnPlateau plateau, double learningRate) : ScheduleRun
    {
        private double _rate = learningRate;
        private double _best = double.PositiveInfinity;
        private int _bad;
        private int _cooldown;

        public override IReadOnlyList<double> State
        {
            get => [_rate, _best, _bad, _cooldown];
            set => (_rate, _best, _bad, _cooldown) = (value[0], value[1], (int)value[2], (int)value[3]);
        }

        public override double Rate(long step) => _rate;

        public override void EpochEnded(double loss)
        {
            (_best, _bad) = loss < _best * (1 - plateau.Threshold) ? (loss, 0) : (_best, _bad + 1);
            if (_cooldown > 0)
            {
                (_cooldown, _bad) = (_cooldown - 1, 0);
            }

            if (_bad <= plateau.Patience)
            {
                return;
            }

            double next = Math.Max(_rate * plateau.Factor, plateau.MinLearningRate);
            _rate = _rate - next > LeastChange ? next : _rate;
            (_cooldown, _bad) = (plateau.Cooldown, 0);
        }
    }
}
