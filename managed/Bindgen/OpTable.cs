using System.Globalization;
using System.Text.RegularExpressions;

namespace MnistNative.Bindgen;

/// <summary>A row of the table of ops: a macro, its arguments, and the lines of documentation above it.</summary>
public sealed record TableRow(string Macro, IReadOnlyList<string> Arguments, IReadOnlyList<string> Lines)
{
    /// <summary>The documentation as one line.</summary>
    public string Documentation => string.Join(' ', Lines);
}

/// <summary>An op of the graph: what its row says.</summary>
/// <param name="Id">Its value of <c>mn_op</c> without the prefix, for example <c>CONV2D</c>.</param>
/// <param name="Name">Its name, for example <c>conv2d</c>.</param>
/// <param name="Descriptor">Its descriptor's name, or <c>none</c>.</param>
/// <param name="LeastSources">Fewest sources.</param>
/// <param name="MostSources">Most sources, or null for as many as a node can have.</param>
/// <param name="Cpu">Its kernels on the CPU, as they stand in the table.</param>
/// <param name="Cuda">Its kernel on CUDA, as it stands in the table.</param>
public sealed record OpRow(string Id, string Name, string Descriptor, int LeastSources, int? MostSources, string Cpu, string Cuda);

/// <summary>The table of ops, <c>native/graph/ops.def</c>.</summary>
public sealed partial class OpTable
{
    private readonly List<TableRow> _rows = [];

    /// <summary>Takes the rows from the table's text.</summary>
    /// <exception cref="NotSupportedException">A row is malformed.</exception>
    public OpTable(string text)
    {
        foreach (Match match in RowPattern().Matches(text))
        {
            Group macro = match.Groups["macro"];
            _rows.Add(new TableRow(
                macro.Value,
                Arguments(text, macro.Index + macro.Length),
                [.. match.Groups["line"].Captures.Select(line => line.Value.Trim())]));
        }
        Ops = [.. Rows("MN_OP").Select(Op)];
        Layers = [.. Rows("MN_LAYER").Select(row => new LayerRow(row))];
    }

    /// <summary>The ops of the graph, in the table's order.</summary>
    public IReadOnlyList<OpRow> Ops { get; }

    /// <summary>The layers of the C# library, in the table's order.</summary>
    public IReadOnlyList<LayerRow> Layers { get; }

    /// <summary>Reads the table.</summary>
    public static OpTable Read(string path) => new(Bindings.ReadText(path));

    /// <summary>The op of that id.</summary>
    public OpRow Find(string id) =>
        Ops.FirstOrDefault(op => op.Id == id) ?? throw new NotSupportedException($"the table has no op {id}");

    /// <summary>The rows of a macro.</summary>
    public IEnumerable<TableRow> Rows(string macro) => _rows.Where(row => row.Macro == macro);

    /// <summary>What stands between a parenthesis and the one that closes it, split at commas outside of inner ones.</summary>
    internal static IReadOnlyList<string> Arguments(string text, int open)
    {
        List<string> arguments = [];
        int depth = 0;
        int start = open + 1;
        for (int i = open; i < text.Length; i++)
        {
            char character = text[i];
            depth += character switch { '(' => 1, ')' => -1, _ => 0 };
            if (depth == 0 || (depth == 1 && character == ','))
            {
                arguments.Add(SpacePattern().Replace(text[start..i], " ").Trim());
                start = i + 1;
            }
            if (depth == 0)
            {
                return arguments;
            }
        }
        throw new NotSupportedException("a row of the table of ops has no end");
    }

    private static OpRow Op(TableRow row)
    {
        if (row.Arguments is not [string id, string name, string descriptor, _, string sources, string cpu, string cuda, _])
        {
            throw new NotSupportedException($"the row of the op {row.Arguments[0]} has {row.Arguments.Count} columns, not 8");
        }
        IReadOnlyList<string> counts = Arguments(sources, sources.IndexOf('('));
        int? most = int.TryParse(counts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : null;
        return new OpRow(id, name, descriptor, int.Parse(counts[0], CultureInfo.InvariantCulture), most, cpu, cuda);
    }

    [GeneratedRegex(@"(^///(?<line>.*)\n)*^(?<macro>MN_[A-Z_]+)(?=\()", RegexOptions.Multiline)]
    private static partial Regex RowPattern();

    [GeneratedRegex(@"\s+")]
    private static partial Regex SpacePattern();
}
