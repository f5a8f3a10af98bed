namespace MnistNative.Cli;

/// <summary>Where the time of a network goes, for <c>bench --profile</c>.</summary>
internal static class ProfileReport
{
    /// <summary>Writes the table, or with <paramref name="json"/> one object for each operation.</summary>
    public static void Write(CliContext context, string network, ModelProfile profile, bool json)
    {
        if (!json)
        {
            context.Out.WriteLine(profile);
            context.Out.WriteLine();
            return;
        }

        double all = profile.Seconds;
        foreach (ProfileEntry entry in profile.Entries)
        {
            JsonLines.Write(context, "profile", line =>
            {
                line.WriteString("network", network);
                line.WriteString("mode", profile.Training ? "training" : "inference");
                line.WriteNumber("batch_size", profile.BatchSize);
                line.WriteString("layer", entry.Name);
                line.WriteString("operation", entry.Operation);
                line.WriteString("kernel", entry.Kernel);
                line.WriteString("direction", entry.Direction.ToString().ToLowerInvariant());
                line.WriteRounded("milliseconds", 1e3 * entry.Seconds, 6);
                line.WriteRounded("share", entry.Seconds / all, 4);
                line.WriteNumber("flops", entry.Flops);
                line.WriteNumber("bytes", entry.Bytes);
                line.WriteRounded("gflops_per_second", 1e-9 * entry.FlopsPerSecond, 3);
                line.WriteRounded("gbytes_per_second", 1e-9 * entry.BytesPerSecond, 3);
                line.WriteRounded("share_of_peak_flops", entry.FlopsPerSecond / profile.Peak.FlopsPerSecond, 4);
                line.WriteRounded("share_of_peak_bytes", entry.BytesPerSecond / profile.Peak.BytesPerSecond, 4);
            });
        }
    }
}
