using System.CommandLine;
using System.CommandLine.Invocation;
using MnistNative.Cli.Commands;

namespace MnistNative.Cli;

/// <summary>The <c>mnistnative</c> command.</summary>
public static class CommandLine
{
    /// <summary>Exit code of a command that failed.</summary>
    public const int Failure = 1;

    /// <summary>Exit code when the arguments are wrong.</summary>
    public const int Usage = 2;

    /// <summary>Exit code of a command that was interrupted, as shells have it.</summary>
    public const int Interrupted = 130;

    /// <summary>Runs a command and returns the exit code.</summary>
    public static async Task<int> RunAsync(
        IReadOnlyList<string> args, CliContext context, CancellationToken cancellationToken = default)
    {
        var root = new RootCommand("Train, evaluate and use small convolutional networks.")
        {
            TrainCommand.Create(context),
            EvalCommand.Create(context),
            PredictCommand.Create(context),
            SummaryCommand.Create(context),
            InfoCommand.Create(context),
            BenchCommand.Create(context),
        };

        ParseResult parsed = root.Parse(args);
        if (parsed.Action is ParseErrorAction)
        {
            string errors = OneLine(string.Join(' ', parsed.Errors.Select(error => error.Message)));
            context.Error.WriteLine($"mnistnative: {errors} (--help shows the usage)");
            return Usage;
        }

        try
        {
            var configuration = new InvocationConfiguration
            {
                Output = context.Out,
                Error = context.Error,
                EnableDefaultExceptionHandler = false,

                // After Ctrl-C: time to end the batch and to save the model.
                ProcessTerminationTimeout = TimeSpan.FromMinutes(1),
            };
            return await parsed.InvokeAsync(configuration, cancellationToken);
        }
        catch (OperationCanceledException)
        {
            context.Error.WriteLine("mnistnative: interrupted");
            return Interrupted;
        }
        catch (UsageException e)
        {
            context.Error.WriteLine($"mnistnative: {e.Message}");
            return Usage;
        }
        catch (Exception e)
        {
            context.Error.WriteLine($"mnistnative: {Describe(e)}");
            return Failure;
        }
    }

    /// <summary>The text without line breaks.</summary>
    internal static string OneLine(string text) =>
        string.Join(' ', text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));

    private static string Describe(Exception e) =>
        OneLine(e is ArgumentException { ParamName: string name }
            ? e.Message.Replace($" (Parameter '{name}')", "", StringComparison.Ordinal)
            : e.Message);
}

/// <summary>Arguments that contradict each other.</summary>
public sealed class UsageException(string message) : Exception(message);
