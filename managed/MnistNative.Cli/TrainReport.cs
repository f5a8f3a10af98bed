using System.Globalization;
using Spectre.Console;

namespace MnistNative.Cli;

/// <summary>How <c>train</c> tells what it does: JSON lines, plain lines, or progress bars on a terminal.</summary>
internal abstract class TrainReport : IProgress<TrainingProgress>
{
    private protected TrainReport(CliContext context) => Context = context;

    /// <summary>The last epoch that ended, if any.</summary>
    public EpochResult? LastEpoch { get; private set; }

    protected CliContext Context { get; }

    public static TrainReport Create(CliContext context, bool json) =>
        json ? new JsonTrainReport(context) : context.IsTerminal ? new TerminalTrainReport(context) : new PlainTrainReport(context);

    /// <summary>Called before training.</summary>
    public virtual void Begin(DatasetChoice choice, string network, Model model, FitOptions options) =>
        Context.Out.WriteLine(
            $"{choice.Name}: {Number(choice.Data.Train.Count)} training and {Number(choice.Data.Test.Count)} test images; " +
            $"network {network}, {Number(model.Summary().ParameterCount)} parameters; {model.Device.Describe()}");

    /// <summary>Trains; true if it was interrupted.</summary>
    public virtual async Task<bool> RunAsync(Model model, ImageDataset train, FitOptions options, CancellationToken cancellation)
    {
        try
        {
            await model.FitAsync(train, options, this, cancellation);
            return false;
        }
        catch (OperationCanceledException)
        {
            return true;
        }
    }

    /// <summary>Called by the training thread.</summary>
    public void Report(TrainingProgress value)
    {
        Context.EndsInOrder();
        LastEpoch = value.Completed ?? LastEpoch;
        OnProgress(value);
    }

    /// <summary>Called after training.</summary>
    public virtual void End(TimeSpan elapsed, long peakBytes, bool interrupted, FileInfo? saved)
    {
        string accuracy = Accuracy(LastEpoch);
        Context.Out.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{(interrupted ? "interrupted" : "done")}: {accuracy}{elapsed.TotalSeconds:F1} s, {peakBytes / 1e6:F0} MB at most"));
        if (saved is not null)
        {
            Context.Out.WriteLine($"saved {saved.FullName}");
        }
    }

    protected static string Describe(EpochResult epoch) => string.Create(
        CultureInfo.InvariantCulture,
        $"loss {epoch.Loss:F4}, {Accuracy(epoch)}" +
        $"{epoch.Elapsed.TotalSeconds:F1} s, {epoch.ImagesPerSecond:N0} images/s");

    protected abstract void OnProgress(TrainingProgress value);

    private static string Accuracy(EpochResult? epoch) => epoch?.Validation?.Accuracy is double share
        ? string.Create(CultureInfo.InvariantCulture, $"test accuracy {share * 100:F2}%, ")
        : "";

    private static string Number(long value) => value.ToString("N0", CultureInfo.InvariantCulture);
}

/// <summary>One JSON object an epoch, and one at the end, also of an interrupted training.</summary>
internal sealed class JsonTrainReport(CliContext context) : TrainReport(context)
{
    public override void Begin(DatasetChoice choice, string network, Model model, FitOptions options)
    {
    }

    public override void End(TimeSpan elapsed, long peakBytes, bool interrupted, FileInfo? saved) =>
        JsonLines.Write(Context, interrupted ? "interrupted" : "done", json =>
        {
            json.WriteRounded("test_accuracy", LastEpoch?.Validation?.Accuracy, 6);
            json.WriteRounded("seconds", elapsed.TotalSeconds, 3);
            json.WriteNumber("peak_rss_bytes", peakBytes);
        });

    protected override void OnProgress(TrainingProgress value)
    {
        if (value.Completed is not EpochResult epoch)
        {
            return;
        }

        JsonLines.Write(Context, "epoch", json =>
        {
            json.WriteNumber("epoch", epoch.Epoch);
            json.WriteRounded("train_loss", epoch.Loss, 6);
            json.WriteRounded("test_accuracy", epoch.Validation?.Accuracy, 6);
            json.WriteRounded("seconds", epoch.Elapsed.TotalSeconds, 3);
            json.WriteRounded("images_per_second", epoch.ImagesPerSecond, 1);
        });
    }
}

/// <summary>One line an epoch.</summary>
internal sealed class PlainTrainReport(CliContext context) : TrainReport(context)
{
    protected override void OnProgress(TrainingProgress value)
    {
        if (value.Completed is EpochResult epoch)
        {
            Context.Out.WriteLine($"epoch {epoch.Epoch}/{value.Epochs}: {Describe(epoch)}");
        }
    }
}

/// <summary>A progress bar an epoch.</summary>
internal sealed class TerminalTrainReport(CliContext context) : TrainReport(context)
{
    private ProgressContext? _bars;
    private ProgressTask? _bar;
    private int _epoch;

    public override async Task<bool> RunAsync(
        Model model, ImageDataset train, FitOptions options, CancellationToken cancellation)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Context.Out) });
        return await console.Progress()
            .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn())
            .StartAsync(bars =>
            {
                _bars = bars;
                return base.RunAsync(model, train, options, cancellation);
            });
    }

    protected override void OnProgress(TrainingProgress value)
    {
        string what = value.Completed is EpochResult epoch
            ? Describe(epoch)
            : string.Create(CultureInfo.InvariantCulture, $"loss {value.Loss:F4}, {value.ImagesPerSecond:N0} images/s");
        string description = Markup.Escape($"epoch {value.Epoch}/{value.Epochs}: {what}");
        if (_bar is null || value.Epoch != _epoch)
        {
            _epoch = value.Epoch;
            _bar = _bars!.AddTask(description, maxValue: value.Batches);
        }

        _bar.Description = description;
        _bar.Value = value.Batch;
    }
}
