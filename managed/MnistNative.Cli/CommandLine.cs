using System.CommandLine;
using System.CommandLine.Invocation;
using MnistNative.Cli.Commands;

namespace MnistNative.Cli;

/// <summary>The <c>mnistnative</c> command.</summary>
public static class CommandLine
{
    /// <summary>Exit code of a command that failed.</summary>
    public const int Failure = 1;

    /// <summary>Exit code when the arguments are wrong, or missing.</summary>
    public const int Usage = 2;

    /// <summary>Exit code of a command that Ctrl-C interrupted, as shells have it.</summary>
    public const int Interrupted = 130;

    /// <summary>Exit code of a command that SIGTERM interrupted, as shells have it.</summary>
    public const int Terminated = 143;

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
        var configuration = new InvocationConfiguration
        {
            Output = context.Out,
            Error = context.Error,
            EnableDefaultExceptionHandler = false,

            // Signals are the caller's matter.
            ProcessTerminationTimeout = null,
        };
        if (args.Count == 0)
        {
            configuration.Output = context.Error;
            await root.Parse("--help").InvokeAsync(configuration, CancellationToken.None);
            return Usage;
        }

        bool json = args.Contains("--json");
        ParseResult parsed = root.Parse(args);
        if (parsed.Action is ParseErrorAction)
        {
            return Fail($"{Suggestions.Describe(parsed)} (--help shows the usage)", Usage);
        }

        try
        {
            return await OrAbandonedAsync(
                Task.Run(() => parsed.InvokeAsync(configuration, cancellationToken), CancellationToken.None), context, cancellationToken);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            context.Error.WriteLine("mnistnative: interrupted");
            if (json)
            {
                JsonLines.Write(context, "interrupted", _ => { });
            }

            return Interrupted;
        }
        catch (UsageException e)
        {
            return Fail(e.Message, Usage);
        }
        catch (Exception e)
        {
            return Fail(Describe(e), Failure);
        }

        int Fail(string message, int code)
        {
            context.Error.WriteLine($"mnistnative: {message}");
            if (json)
            {
                JsonLines.Write(context, "error", line => line.WriteString("message", message));
            }

            return code;
        }
    }

    // The command's exit code. A read or a write that blocks knows no cancellation: what has not ended by itself within
    // the grace period is left alone, on a thread that does not keep the process.
    private static async Task<int> OrAbandonedAsync(Task<int> command, CliContext context, CancellationToken cancellationToken)
    {
        var interrupted = new TaskCompletionSource();
        using (cancellationToken.UnsafeRegister(_ => interrupted.TrySetResult(), null))
        {
            if (await Task.WhenAny(command, interrupted.Task) != command
                && await Task.WhenAny(command, Task.Delay(context.Grace, CancellationToken.None)) != command)
            {
                throw new OperationCanceledException(cancellationToken);
            }

            return await command;
        }
    }

    /// <summary>The text without line breaks.</summary>
    internal static string OneLine(string text) =>
        string.Join(' ', text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));

    /// <summary>The error in one line.</summary>
    internal static string Describe(Exception e) =>
        OneLine(e is ArgumentException { ParamName: string name }
            ? e.Message.Replace($" (Parameter '{name}')", "", StringComparison.Ordinal)
            : e.Message);
}

/// <summary>Arguments that contradict each other.</summary>
public sealed class UsageException(string message) : Exception(message);
