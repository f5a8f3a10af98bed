using System.Diagnostics;
using System.Globalization;
using MnistNative.Interop;

namespace MnistNative;

/// <summary>The loop of <see cref="Model.Fit"/>: epochs of steps, on the thread that calls <see cref="Run"/>.</summary>
internal sealed class Fitting
{
    // How many steps a card may be ahead before it is looked whether their losses are finite.
    private const int StepsBetweenLooks = 64;

    private static readonly TimeSpan s_progressInterval = TimeSpan.FromMilliseconds(100);

    private readonly Model _model;
    private readonly IImageDataset _train;
    private readonly FitOptions _options;
    private readonly Loss _loss;
    private readonly IProgress<TrainingProgress>? _progress;
    private readonly CancellationToken _cancellation;
    private readonly Stopwatch _total = new();
    private readonly Stopwatch _epochTime = new();
    private readonly List<EpochResult> _history = [];
    private readonly bool _worksAhead;
    private readonly bool _mergesSingle;
    private ScheduleRun? _schedule;
    private EarlyStoppingRun? _stopping;
    private TimeSpan _lastProgress;
    private int _done;
    private int _epoch;
    private int _batch;
    private int _batches;
    private int _lastCount;
    private float[] _parameter = [];
    private double _numerator;
    private double _denominator;
    private long _correct;
    private long _labels;
    private long _images;

    public Fitting(
        Model model,
        IImageDataset train,
        FitOptions options,
        IProgress<TrainingProgress>? progress,
        CancellationToken cancellation)
    {
        model.CheckData(train);
        _loss = options.Validate(model, train);
        _mergesSingle = NeedsTwoImages(model, options, train);
        _worksAhead = model.Device.Kind != DeviceKind.Cpu && options.OnBatch is null;
        (_model, _train, _options, _progress, _cancellation) = (model, train, options, progress, cancellation);
    }

    public TrainingResult Run()
    {
        _total.Start();
        _model.NoteFit();
        try
        {
            _cancellation.ThrowIfCancellationRequested();
            Train();
        }
        catch (OperationCanceledException e) when (_cancellation.IsCancellationRequested && e.CancellationToken == _cancellation)
        {
            throw new TrainingCanceledException(Result(), _cancellation);
        }

        return Result();
    }

    // Whether a batch of one image would be refused; throws if there is nothing but such batches.
    private static bool NeedsTwoImages(Model model, FitOptions options, IImageDataset train)
    {
        if (model.FirstNormOfOneValue(options.ParameterGroups) is not { } layer)
        {
            return false;
        }

        return Math.Min(options.BatchSize, train.Count) > 1
            ? true
            : throw new ArgumentException(
                $"{layer.Type} \"{layer.Name}\" normalises one value a channel over the images of a batch and needs at least 2 of "
                + $"them; BatchSize is {options.BatchSize} and the data set has {train.Count} images.",
                nameof(FitOptions.BatchSize));
    }

    private void Train()
    {
        int batchSize = Math.Min(_options.BatchSize, _train.Count);
        var order = new BatchOrder(_train.Count, batchSize, _options.Seed ?? _model.Seed, _options.Shuffle, _mergesSingle);
        using BatchSource batches = BatchSource.Open(_train, _model.Handle.Device, order, _loss);
        using Trainer trainer = _model.CreateTrainer(_options.Optimizer, order.LargestBatch, _options.ForTrainer(_loss));

        _batches = order.BatchCount;
        _schedule = _options.Schedule?.Start(_options.Optimizer.LearningRate, _batches, (long)_batches * _options.Epochs);
        _stopping = _options.EarlyStopping is not null || _options.BestModel is not null
            ? new EarlyStoppingRun(_options.EarlyStopping, _model)
            : null;
        _done = _options.ResumeFrom is null ? 0 : Resume(_options.ResumeFrom, trainer);
        try
        {
            for (_epoch = _done; _epoch < _options.Epochs && _stopping?.Ended != true && !Stops;)
            {
                _epoch++;
                order.StartEpoch(_epoch - 1);
                RunEpoch(trainer, batches);
                if (_batch == _batches)
                {
                    EndEpoch(trainer);
                }
            }
        }
        catch (Exception e) when (e is OperationCanceledException or TrainingDivergedException)
        {
            RestoreBest();
            throw;
        }

        RestoreBest();
    }

    private bool Stops => _options.StopToken.IsCancellationRequested;

    private void RestoreBest()
    {
        if (!_model.Handle.IsDisposed)
        {
            _stopping?.Restore();
        }
    }

    private void EndEpoch(Trainer trainer)
    {
        bool finite = double.IsFinite(_numerator) && CheckParameters(trainer);
        EvaluationResult? validation = _options.Validation is null ? null : Validate(trainer, ref finite);
        var result = new EpochResult(_epoch, Loss, Accuracy, validation, _epochTime.Elapsed, ImagesPerSecond);
        _history.Add(result);
        _schedule?.EpochEnded(validation?.Loss ?? result.Loss);
        bool best = _stopping?.EpochEnded(result, finite) ?? false;
        if (best && _options.BestModel is not null)
        {
            _model.Save(_options.BestModel);
        }

        if (finite && _options.Checkpoint is not null)
        {
            trainer.SaveCheckpoint(_options.Checkpoint, new FitState(_epoch)
            {
                Schedule = _schedule?.State ?? [],
                Stopping = _stopping?.State ?? [],
                BestParameters = _stopping?.BestParameters ?? [],
            });
        }

        _options.OnEpoch?.Invoke(result);
        Report(result);
    }

    private TrainingResult Result() => new(_history.ToArray(), _total.Elapsed, Device.Describe(_model.Handle.Device))
    {
        BestEpoch = _stopping?.BestEpoch is > 0 and int epoch ? epoch : null,
        StoppedEarly = _done + _history.Count < _options.Epochs,
    };

    // Returns the number of completed epochs. State that the checkpoint lacks starts from its initial value.
    private int Resume(string path, Trainer trainer)
    {
        trainer.LoadCheckpoint(path, out FitState state);
        trainer.LearningRate = _options.Optimizer.LearningRate;
        if (_schedule is not null && state.Schedule.Count == _schedule.State.Count)
        {
            _schedule.State = state.Schedule;
        }

        if (_stopping is not null && state.Stopping.Count == _stopping.State.Count)
        {
            (_stopping.State, _stopping.BestParameters) = (state.Stopping, state.BestParameters);
        }

        return state.Epochs;
    }

    // The loss as its reduction defines it, over the epoch's images so far.
    private double Loss => _loss.Reduction == Reduction.Sum ? _numerator : _numerator / _denominator;

    private double? Accuracy => _labels == 0 ? null : (double)_correct / _labels;

    private double ImagesPerSecond => _images / Math.Max(_epochTime.Elapsed.TotalSeconds, 1e-9);

    private void RunEpoch(Trainer trainer, BatchSource batches)
    {
        (_batch, _numerator, _denominator, _correct, _labels, _images) = (0, 0, 0, 0, 0, 0);
        _epochTime.Restart();
        trainer.StepSums(restart: true);
        batches.Start();
        while (!Stops && batches.MoveNext(out MnBatch batch, _cancellation))
        {
            ObjectDisposedException.ThrowIf(_model.Handle.IsDisposed, _model);
            if (_schedule is not null)
            {
                SetRate(trainer, (float)_schedule.Rate(((long)(_epoch - 1) * _batches) + _batch));
            }

            Step(trainer, batch, batches);
            if (_progress is not null && _total.Elapsed - _lastProgress >= s_progressInterval)
            {
                TakeSums(trainer, batches);
                Report(completed: null);
            }
        }

        TakeSums(trainer, batches);
        _epochTime.Stop();
    }

    private void Step(Trainer trainer, in MnBatch batch, BatchSource batches)
    {
        _batch++;
        _images += batch.Count;
        _lastCount = batch.Count;
        if (_worksAhead)
        {
            trainer.Begin(batch);
            if (_batch % StepsBetweenLooks == 0)
            {
                TakeSums(trainer, batches);
            }

            return;
        }

        // In two calls, so that a loss that is not finite is seen before it has changed the parameters.
        MnMetrics metrics = trainer.Accumulate(batch);
        if (_options.StopOnNonFinite && !double.IsFinite(metrics.LossNumerator))
        {
            throw Diverged(
                trainer, $"the loss of batch {_batch} of epoch {_epoch} is {Text(metrics.Loss)}", _batch, metrics.Loss,
                FirstLayer(batches));
        }

        trainer.Apply();
        _numerator += metrics.LossNumerator;
        _denominator += metrics.LossDenominator;
        _correct += metrics.Correct;
        _labels += metrics.Labels;
        _options.OnBatch?.Invoke(new BatchResult(_epoch, _batch, _batches, trainer.LearningRate, Trainer.ResultOf(metrics)));
    }

    /// <summary>Waits for the steps that were begun in this epoch, and takes their losses.</summary>
    private void TakeSums(Trainer trainer, BatchSource batches)
    {
        if (!_worksAhead || _batch == 0)
        {
            return;
        }

        MnStepSums sums = trainer.StepSums(restart: false);
        (_numerator, _denominator) = (sums.LossNumerator, sums.LossDenominator);
        (_correct, _labels) = (sums.Correct, sums.Labels);
        if (_options.StopOnNonFinite && sums.FirstNotFinite >= 0)
        {
            int batch = (int)sums.FirstNotFinite + 1;
            throw Diverged(
                trainer, $"the loss of batch {batch} of epoch {_epoch} is not finite", batch, Loss,
                FirstLayer(batches));
        }
    }

    // An update may have overflowed without a loss after it that shows it.
    private bool CheckParameters(Trainer trainer)
    {
        if (Divergence.FirstParameter(_model, ref _parameter) is not { } place)
        {
            return true;
        }

        return _options.StopOnNonFinite
            ? throw Diverged(trainer, $"a parameter is not finite after epoch {_epoch}", _batch, Loss, place)
            : false;
    }

    private EvaluationResult Validate(Trainer trainer, ref bool finite)
    {
        EvaluationResult validation = _model.Evaluate(_options.Validation!, _loss, _cancellation, out bool lossIsFinite);
        if (!lossIsFinite && _options.StopOnNonFinite)
        {
            throw Diverged(
                trainer, $"the validation's loss after epoch {_epoch} is {Text(validation.Loss)}", _batch, validation.Loss, null);
        }

        finite &= lossIsFinite;
        return validation;
    }

    private Divergence.Place? FirstLayer(BatchSource batches)
    {
        try
        {
            float[] images = new float[_lastCount * _model.InputShape.Length];
            batches.CopyImages(images);
            return Divergence.FirstLayer(_model, images);
        }
        catch (MnistNativeOutOfMemoryException)
        {
            return null;
        }
    }

    private TrainingDivergedException Diverged(
        Trainer trainer, string what, int batch, double loss, Divergence.Place? place)
    {
        string where = place is { } found ? $" First not finite: {found.What}." : "";
        string rate = trainer.LearningRate.ToString(CultureInfo.InvariantCulture);
        string advice = place?.Layer == "Input"
            ? "Mend the data."
            : $"Try a learning rate below {rate}, clip the gradients (ClipNorm), and look whether the images are normalised and "
                + "the targets finite.";
        return new TrainingDivergedException(
            $"Training has diverged: {what}.{where} {advice} StopOnNonFinite = false lets training run on.",
            Result(), _epoch, batch, loss, place?.Layer);
    }

    private static string Text(double value) => value.ToString(CultureInfo.InvariantCulture);

    private static void SetRate(Trainer trainer, float rate)
    {
        if (rate != trainer.LearningRate)
        {
            trainer.LearningRate = rate;
        }
    }

    private void Report(EpochResult? completed)
    {
        if (_progress is null)
        {
            return;
        }

        _progress.Report(new TrainingProgress(
            _epoch, _options.Epochs, _batch, _batches, Loss, Accuracy, ImagesPerSecond, completed));
        _lastProgress = _total.Elapsed;
    }
}
