using System.Diagnostics;
using MnistNative.Interop;

namespace MnistNative;

/// <summary>The loop of <see cref="Model.Fit"/>: epochs of steps, on the thread that calls <see cref="Run"/>.</summary>
internal sealed class Fitting
{
    private static readonly TimeSpan s_progressInterval = TimeSpan.FromMilliseconds(100);

    private readonly Model _model;
    private readonly IImageDataset _train;
    private readonly FitOptions _options;
    private readonly IProgress<TrainingProgress>? _progress;
    private readonly CancellationToken _cancellation;
    private readonly Stopwatch _total = new();
    private readonly Stopwatch _epochTime = new();
    private ScheduleRun? _schedule;
    private TimeSpan _lastProgress;
    private int _epoch;
    private int _batch;
    private int _batches;
    private double _lossSum;
    private long _correct;
    private long _images;

    public Fitting(
        Model model,
        IImageDataset train,
        FitOptions options,
        IProgress<TrainingProgress>? progress,
        CancellationToken cancellation)
    {
        model.CheckData(train);
        options.Validate(model, train);
        (_model, _train, _options, _progress, _cancellation) = (model, train, options, progress, cancellation);
    }

    public TrainingResult Run()
    {
        _total.Start();
        _cancellation.ThrowIfCancellationRequested();
        int batchSize = Math.Min(_options.BatchSize, _train.Count);
        using Trainer trainer = _model.CreateTrainer(_options.Optimizer, batchSize, _options.ForTrainer);
        var order = new BatchOrder(_train.Count, batchSize, _options.Seed ?? _model.Seed, _options.Shuffle);
        using BatchSource batches = BatchSource.Open(_train, _model.Handle.Device, order, _options.Loss);

        var history = new List<EpochResult>();
        _batches = order.BatchCount;
        _schedule = _options.Schedule?.Start(_options.Optimizer.LearningRate, _batches, _options.Epochs);
        EarlyStoppingRun? stopping = _options.EarlyStopping is { } early ? new EarlyStoppingRun(early, _model) : null;
        int done = _options.ResumeFrom is null ? 0 : Resume(_options.ResumeFrom, trainer, stopping);
        bool stopped = stopping?.Ended ?? false;

        for (_epoch = done; _epoch < _options.Epochs && !stopped;)
        {
            _epoch++;
            order.StartEpoch(_epoch - 1);
            RunEpoch(trainer, batches);
            EvaluationResult? validation =
                _options.Validation is null ? null : _model.Evaluate(_options.Validation, _options.Loss, _cancellation);
            var result = new EpochResult(
                _epoch, _lossSum / _batch, (double)_correct / _images, validation, _epochTime.Elapsed, ImagesPerSecond);
            history.Add(result);
            _schedule?.EpochEnded(validation?.Loss ?? result.Loss);
            stopped = stopping is not null && stopping.EpochEnded(result);
            if (_options.Checkpoint is not null)
            {
                trainer.SaveCheckpoint(_options.Checkpoint, new FitState(_epoch)
                {
                    Schedule = _schedule?.State ?? [],
                    Stopping = stopping?.State ?? [],
                    BestParameters = stopping?.BestParameters ?? [],
                });
            }

            _options.OnEpoch?.Invoke(result);
            Report(result);
        }

        stopping?.Restore();

        return new TrainingResult(history, _total.Elapsed, Device.Describe(_model.Handle.Device))
        {
            BestEpoch = stopping?.BestEpoch,
            StoppedEarly = done + history.Count < _options.Epochs,
        };
    }

    // Returns the epochs that were done. What a file does not know counts anew.
    private int Resume(string path, Trainer trainer, EarlyStoppingRun? stopping)
    {
        trainer.LoadCheckpoint(path, out FitState state);
        trainer.LearningRate = _options.Optimizer.LearningRate;
        if (_schedule is not null && state.Schedule.Count == _schedule.State.Count)
        {
            _schedule.State = state.Schedule;
        }

        if (stopping is not null && state.Stopping.Count == stopping.State.Count)
        {
            (stopping.State, stopping.BestParameters) = (state.Stopping, state.BestParameters);
        }

        return state.Epochs;
    }

    private double ImagesPerSecond => _images / Math.Max(_epochTime.Elapsed.TotalSeconds, 1e-9);

    private void RunEpoch(Trainer trainer, BatchSource batches)
    {
        (_batch, _lossSum, _correct, _images) = (0, 0, 0, 0);
        _epochTime.Restart();
        trainer.StepSums(restart: true);
        batches.Start();
        while (batches.MoveNext(out MnBatch batch))
        {
            _cancellation.ThrowIfCancellationRequested();
            ObjectDisposedException.ThrowIf(_model.Handle.IsDisposed, _model);
            if (_schedule is not null)
            {
                SetRate(trainer, (float)_schedule.Rate(((long)(_epoch - 1) * _batches) + _batch));
            }

            Step(trainer, batch);
            if (_progress is not null && _total.Elapsed - _lastProgress >= s_progressInterval)
            {
                TakeSums(trainer);
                Report(completed: null);
            }
        }

        TakeSums(trainer);
        _epochTime.Stop();
    }

    /// <summary>Waits for the step only if somebody is to hear of it, so that a card can work ahead.</summary>
    private void Step(Trainer trainer, in MnBatch batch)
    {
        _batch++;
        _images += batch.Count;
        if (_options.OnBatch is null)
        {
            trainer.Begin(batch);
            return;
        }

        StepResult step = trainer.Step(batch);
        _lossSum += step.Loss;
        _correct += step.Correct;
        _options.OnBatch(new BatchResult(_epoch, _batch, _batches, trainer.LearningRate, step));
    }

    /// <summary>Waits for the steps that were begun in this epoch, and takes their losses.</summary>
    private void TakeSums(Trainer trainer)
    {
        if (_options.OnBatch is null)
        {
            MnStepSums sums = trainer.StepSums(restart: false);
            (_lossSum, _correct) = (sums.Loss, sums.Correct);
        }
    }

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
            _epoch, _options.Epochs, _batch, _batches, _lossSum / _batch, (double)_correct / _images, ImagesPerSecond, completed));
        _lastProgress = _total.Elapsed;
    }
}
