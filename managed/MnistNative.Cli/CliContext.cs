using System.Text;

namespace MnistNative.Cli;

/// <summary>Where a command writes.</summary>
/// <param name="Out">Results.</param>
/// <param name="Error">Errors and remarks.</param>
/// <param name="IsTerminal">Whether <paramref name="Out"/> is a terminal: if so progress bars and tables, else plain lines.</param>
public sealed record CliContext(TextWriter Out, TextWriter Error, bool IsTerminal)
{
    /// <summary>The process's own standard streams.</summary>
    public static CliContext ForProcess()
    {
        // Without a byte order mark, whatever the terminal's code page: the output is read by programs too.
        Console.OutputEncoding = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false);
        return new CliContext(Console.Out, Console.Error, !Console.IsOutputRedirected);
    }
}
