using System.CommandLine;
using System.CommandLine.Parsing;

namespace MnistNative.Cli;

/// <summary>Errors of a command line, with the name that was probably meant.</summary>
internal static class Suggestions
{
    /// <summary>One line that describes the errors of a command line.</summary>
    public static string Describe(ParseResult parsed)
    {
        Command command = parsed.CommandResult.Command;
        foreach (string token in parsed.UnmatchedTokens)
        {
            if (IsOption(token))
            {
                return UnknownOption(command, token);
            }

            if (command is RootCommand)
            {
                return $"There is no command \"{token}\".{DidYouMean(token, Names(command.Subcommands))}";
            }
        }

        return CommandLine.OneLine(string.Join(' ', parsed.Errors.Select(error => error.Message)));
    }

    /// <summary>Refuses arguments that look like an option and are no file.</summary>
    public static void RefuseUnknownOptions(ArgumentResult result)
    {
        foreach (Token token in result.Tokens)
        {
            if (IsOption(token.Value) && !File.Exists(token.Value))
            {
                result.AddError(UnknownOption(((CommandResult)result.Parent!).Command, token.Value));
            }
        }
    }

    /// <summary>A question with the nearest name, after a space; empty if none is near.</summary>
    public static string DidYouMean(string given, IEnumerable<string> names)
    {
        string? whole = given.Length > 3 ? names.FirstOrDefault(name => name.StartsWith(given, StringComparison.OrdinalIgnoreCase)) : null;
        (string near, int edits) = names.Select(name => (name, Edits(given, name))).MinBy(pair => pair.Item2);
        return whole is null && edits > Math.Max(1, Math.Min(given.Length, near.Length) / 3) ? "" : $" Did you mean \"{whole ?? near}\"?";
    }

    private static bool IsOption(string token) => token.Length > 1 && token[0] == '-';

    private static string UnknownOption(Command command, string token)
    {
        string name = token.Split('=')[0];
        return $"{(command is RootCommand ? "mnistnative" : command.Name)} has no option \"{name}\"."
            + DidYouMean(name, Names(command.Options));
    }

    private static IEnumerable<string> Names(IEnumerable<Symbol> symbols) =>
        symbols.Where(symbol => !symbol.Hidden).Select(symbol => symbol.Name);

    // Insertions, deletions, replacements and exchanges of neighbours (optimal string alignment), whatever the case.
    private static int Edits(string from, string to)
    {
        from = from.ToUpperInvariant();
        to = to.ToUpperInvariant();
        int[,] edits = new int[from.Length + 1, to.Length + 1];
        for (int i = 0; i <= from.Length; i++)
        {
            for (int k = 0; k <= to.Length; k++)
            {
                if (i == 0 || k == 0)
                {
                    edits[i, k] = i + k;
                    continue;
                }

                int replaced = edits[i - 1, k - 1] + (from[i - 1] == to[k - 1] ? 0 : 1);
                edits[i, k] = Math.Min(replaced, 1 + Math.Min(edits[i - 1, k], edits[i, k - 1]));
                if (i > 1 && k > 1 && from[i - 1] == to[k - 2] && from[i - 2] == to[k - 1])
                {
                    edits[i, k] = Math.Min(edits[i, k], edits[i - 2, k - 2] + 1);
                }
            }
        }

        return edits[from.Length, to.Length];
    }
}
