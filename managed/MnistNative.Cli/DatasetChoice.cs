using System.Globalization;

namespace MnistNative.Cli;

/// <summary>A loaded data set and its name.</summary>
/// <param name="Name">For people.</param>
/// <param name="Data">Training and test images.</param>
internal sealed record DatasetChoice(string Name, MnistData Data)
{
    /// <summary>Loads the data set asked for.</summary>
    public static async Task<DatasetChoice> LoadAsync(
        string dataset, string? folder, CliContext context, CancellationToken cancellationToken)
    {
        var progress = new DownloadReport(context);
        switch (dataset)
        {
            case "digits":
                return folder is null
                    ? new DatasetChoice("digits", SyntheticDigits.Load())
                    : throw new UsageException("--data has no meaning for the built-in digits.");
            case "fashion":
                return new DatasetChoice("fashion", await FashionMnist.LoadAsync(folder, progress, cancellationToken));
            case "mnist":
                return new DatasetChoice("mnist", await Mnist.LoadAsync(folder, progress, cancellationToken));
            default:
                try
                {
                    return new DatasetChoice("mnist", await Mnist.LoadAsync(folder, progress, cancellationToken));
                }
                catch (DatasetUnavailableException)
                {
                    context.Error.WriteLine(
                        "MNIST is not on this machine and could not be fetched; taking the built-in digits instead.");
                    return new DatasetChoice("digits", SyntheticDigits.Load());
                }
        }
    }

    /// <summary>Says on the error stream which files are being fetched.</summary>
    private sealed class DownloadReport(CliContext context) : IProgress<DownloadProgress>
    {
        private string? _file;

        public void Report(DownloadProgress value)
        {
            lock (this)
            {
                if (value.FileName != _file)
                {
                    _file = value.FileName;
                    context.Error.WriteLine(string.Create(
                        CultureInfo.InvariantCulture, $"fetching {value.FileName} ({value.FileIndex + 1} of {value.FileCount})"));
                }
            }
        }
    }
}
