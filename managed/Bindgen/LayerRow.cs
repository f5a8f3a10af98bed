using System.Text.RegularExpressions;

namespace MnistNative.Bindgen;

/// <summary>A parameter of a layer.</summary>
/// <param name="Type">Its C# type.</param>
/// <param name="Name">Its C# name.</param>
/// <param name="Member">The member of the op's descriptor that it becomes.</param>
/// <param name="Default">What it is where a model file lacks it; null: files must have it.</param>
public sealed record LayerParameter(string Type, string Name, string Member, string? Default)
{
    /// <summary>Its name in model files.</summary>
    public string Key => Names.Snake(Name);
}

/// <summary>A layer of the C# library: what its row in the table of ops says.</summary>
public sealed partial record LayerRow
{
    private const string OwnRecord = "MN_OWN_RECORD";

    /// <summary>Takes the columns of a row.</summary>
    /// <exception cref="NotSupportedException">The row is malformed.</exception>
    public LayerRow(TableRow row)
    {
        Type = row.Arguments[0];
        Kind = row.Arguments[1];
        string op = row.Arguments[2];
        HasOwnRecord = op.StartsWith(OwnRecord, StringComparison.Ordinal);
        Op = HasOwnRecord || op == "MN_BY_HAND" ? null : op;
        Documentation = row.Documentation;
        foreach (string column in row.Arguments.Skip(3))
        {
            Match match = ColumnPattern().Match(column);
            if (!match.Success || (match.Groups["type"].Success == match.Groups["name"].Value.StartsWith('.')))
            {
                throw new NotSupportedException($"the layer {Type} has the malformed parameter \"{column}\"");
            }
            string name = match.Groups["name"].Value;
            string member = match.Groups["member"].Value;
            if (name.StartsWith('.'))
            {
                _constants.Add((name[1..], member));
            }
            else
            {
                _parameters.Add(new LayerParameter(
                    match.Groups["type"].Value,
                    name,
                    member.Length > 0 ? member : Names.Snake(name),
                    match.Groups["default"] is { Success: true } given ? given.Value : null));
            }
        }
        Call = HasOwnRecord
            ? OpTable.Arguments(op, OwnRecord.Length)
            : [.. _parameters.Select(parameter => char.ToLowerInvariant(parameter.Name[0]) + parameter.Name[1..])];
    }

    private readonly List<LayerParameter> _parameters = [];
    private readonly List<(string Member, string Value)> _constants = [];

    /// <summary>Its name for people, and its method of <c>Sequential</c>: <c>Conv2d</c>.</summary>
    public string Type { get; }

    /// <summary>Its name in model files: <c>conv2d</c>.</summary>
    public string Kind { get; }

    /// <summary>The id of the op that it becomes; null where that is written by hand.</summary>
    public string? Op { get; }

    /// <summary>Whether its record is written by hand.</summary>
    public bool HasOwnRecord { get; }

    /// <summary>Its parameters, in the record's order.</summary>
    public IReadOnlyList<LayerParameter> Parameters => _parameters;

    /// <summary>Members of the descriptor that are always the same, with their values.</summary>
    public IReadOnlyList<(string Member, string Value)> Constants => _constants;

    /// <summary>What the method is called with, for people.</summary>
    public IReadOnlyList<string> Call { get; }

    /// <summary>The twin in PyTorch, and behind a bar the parameters; empty: the layer is no method.</summary>
    public string Documentation { get; }

    // "T Name", "T Name = member", "T Name or default", ".member = value"
    [GeneratedRegex(@"^((?<type>\S+) )?(?<name>\.?\w+)( = (?<member>\w+))?( or (?<default>\w+))?$")]
    private static partial Regex ColumnPattern();
}
