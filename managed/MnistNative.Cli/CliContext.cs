using System.Text;

namespace MnistNative.Cli;

/// <summary>Where a command writes, and what it runs on.</summary>
/// <param name="Out">Results.</param>
/// <param name="Error">Errors and remarks.</param>
/// <param name="IsTerminal">
/// Whether <paramref name="Out"/> is a terminal that moves its cursor: if so progress bars and tables, else plain lines.
/// </param>
public sealed record CliContext(TextWriter Out, TextWriter Error, bool IsTerminal)
{
    /// <summary>How long an interrupted command may take to end by itself; what takes longer is blocked and abandoned.</summary>
    internal TimeSpan Grace { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>Whether there is a driver for NVIDIA's GPUs.</summary>
    public Func<bool> HasCudaDriver { get; init; } = DeviceOptions.FindCudaDriver;

    /// <summary>The process's own standard streams.</summary>
    public static CliContext ForProcess()
    {
        // Without a byte order mark, whatever the terminal's code page: the output is read by programs too.
        Console.OutputEncoding = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false);
        bool dumb = Environment.GetEnvironmentVariable("TERM") is "dumb" or "";
        return new CliContext(Console.Out, Console.Error, !Console.IsOutputRedirected && !dumb);
    }

    /// <summary>The same, after a command has begun work that it ends in order when it is interrupted: a batch, a file.</summary>
    internal void EndsInOrder() => Grace = TimeSpan.FromMinutes(1);
}
