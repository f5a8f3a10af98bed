using System.Globalization;
using MnistNative.Interop;

namespace MnistNative;

/// <summary>What a device can do at best, as measured by <see cref="Device.MeasurePeak"/>.</summary>
/// <param name="FlopsPerSecond">
/// Single-precision operations a second on all threads, as multiply-adds from registers, which count as two; 0 if the
/// device does not measure it.
/// </param>
/// <param name="BytesPerSecond">
/// Bytes a second, read and written, of copying in main memory; 0 if the device does not measure it.
/// </param>
public sealed record DevicePeak(double FlopsPerSecond, double BytesPerSecond);

/// <summary>Which part of the work an entry of a <see cref="ModelProfile"/> is.</summary>
public enum ProfileDirection
{
    /// <summary>From the images to the output, or to the loss.</summary>
    Forward = 0,

    /// <summary>From the loss to the gradients.</summary>
    Backward = 1,

    /// <summary>What a training step does to parameters: the optimizer, and forms of the weights derived from them.</summary>
    Update = 2,
}

/// <summary>What one operation of a network costs in one direction. Layers that run as one are one operation.</summary>
/// <param name="Name">Name of the (first) layer, as in the names of its parameters; or what the library adds.</param>
/// <param name="Operation">What it computes, for example <c>conv2d+bias+relu+max_pool2d</c>.</param>
/// <param name="Kernel">
/// How: a name of the device's, for example <c>gemm</c>, <c>winograd_f2</c> or <c>reference</c>. A backward pass that
/// computes its gradients in two ways has both, by the source and by the parameters: <c>sparse, gemm</c>.
/// </param>
/// <param name="Direction">Which part of the work it is.</param>
/// <param name="Seconds">How long it takes for one batch.</param>
/// <param name="Flops">
/// Operations by the definition of convolutions and linear layers, two for each multiply-add, and as many for each of the
/// two gradients; 0 for other layers. Winograd's algorithm takes fewer, and so may seem to beat the device's peak.
/// </param>
/// <param name="Bytes">Bytes of values and parameters that are read or written, each once.</param>
public sealed record ProfileEntry(
    string Name, string Operation, string Kernel, ProfileDirection Direction, double Seconds, long Flops, long Bytes)
{
    /// <summary>Operations a second.</summary>
    public double FlopsPerSecond => Flops / Seconds;

    /// <summary>Bytes a second; more than main memory allows where they come from a cache.</summary>
    public double BytesPerSecond => Bytes / Seconds;
}

/// <summary>
/// Where the time of a network goes; <see cref="ToString"/> gives the table. Made by <see cref="Model.Profile"/>.
/// </summary>
public sealed class ModelProfile
{
    private readonly DeviceInfo _device;

    internal ModelProfile(
        IReadOnlyList<ProfileEntry> entries, int batchSize, bool training, DeviceInfo device, DevicePeak peak)
    {
        Entries = entries;
        BatchSize = batchSize;
        Training = training;
        Peak = peak;
        _device = device;
    }

    /// <summary>The operations in the order in which they run.</summary>
    public IReadOnlyList<ProfileEntry> Entries { get; }

    /// <summary>Images in the batch.</summary>
    public int BatchSize { get; }

    /// <summary>Whether it is a training step, with backward pass and update; else inference.</summary>
    public bool Training { get; }

    /// <summary>What the device can do at best.</summary>
    public DevicePeak Peak { get; }

    /// <summary>The sum of the entries' times.</summary>
    public double Seconds => Entries.Sum(entry => entry.Seconds);

    /// <summary>The table as text, with a line for the whole.</summary>
    public override string ToString()
    {
        double all = Seconds;
        List<string[]> rows =
        [
            ["Layer", "Operation", "Kernel", "Direction", "ms", "share", "GFLOP/s", "of peak", "GB/s", "of peak"],
        ];
        rows.AddRange(Entries.Select(entry => new[]
        {
            entry.Name,
            entry.Operation,
            entry.Kernel,
            entry.Direction.ToString().ToLowerInvariant(),
            Text(1e3 * entry.Seconds, "N3"),
            Percent(entry.Seconds, all),
            entry.Flops == 0 ? "" : Text(1e-9 * entry.FlopsPerSecond, "N1"),
            entry.Flops == 0 ? "" : Percent(entry.FlopsPerSecond, Peak.FlopsPerSecond),
            Text(1e-9 * entry.BytesPerSecond, "N1"),
            Percent(entry.BytesPerSecond, Peak.BytesPerSecond),
        }));
        string what = Training ? "Training step" : "Inference";
        string peak = Peak.FlopsPerSecond > 0
            ? $"; peak {Text(1e-9 * Peak.FlopsPerSecond, "N1")} GFLOP/s, {Text(1e-9 * Peak.BytesPerSecond, "N1")} GB/s"
            : "";
        return string.Join(
            Environment.NewLine,
            $"{what}, batch {BatchSize}, {_device}{peak}",
            TextTable.Format(rows, leftColumns: 4),
            $"{Text(1e3 * all, "N3")} ms, {Text(BatchSize / all, "N1")} images/s, "
                + $"{Text(1e-9 * Entries.Sum(entry => entry.Flops) / all, "N1")} GFLOP/s");
    }

    private static string Text(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);

    private static string Percent(double part, double whole) =>
        whole > 0 ? (100 * part / whole).ToString("N1", CultureInfo.InvariantCulture) + " %" : "";
}
