using System.Text;

namespace MnistNative.Bindgen;

/// <summary>Writes the parts of the header that follow from the table of ops: a typed function an op, and the activations.</summary>
public static class HeaderWriter
{
    private const string Begin = "// <generated functions>\n";
    private const string End = "// </generated functions>\n";
    private const string BeginActivations = "    // <generated activations>\n";
    private const string EndActivations = "    // </generated activations>\n";
    private const int Width = 100;

    /// <summary>The header with its generated parts as the table gives them.</summary>
    /// <exception cref="NotSupportedException">The header does not say where that part is.</exception>
    public static string Write(string header, OpTable table)
    {
        string byHand = Marked.Remove(header, Begin, End);
        StringBuilder output = new();
        foreach (OpRow op in table.Ops)
        {
            // Those that take something else than a descriptor are written by hand.
            if (!byHand.Contains($" mn_graph_{op.Name}(", StringComparison.Ordinal))
            {
                WriteFunction(output, op);
            }
        }
        header = Marked.Replace(header, Begin, End, output.Append('\n').ToString());
        return Marked.Replace(header, BeginActivations, EndActivations, string.Concat(table.Rows("MN_ACTIVATION").Select(Activation)));
    }

    private static string Activation(TableRow row) =>
        string.Concat(row.Lines.Select(line => $"    /// {line}\n")) + $"    MN_ACTIVATION_{row.Arguments[0]} = {row.Arguments[1]},\n";

    private static void WriteFunction(StringBuilder output, OpRow op)
    {
        bool described = op.Descriptor != "none";
        bool two = op is { LeastSources: 2, MostSources: 2 };
        bool one = op is { LeastSources: 1, MostSources: 1 };
        List<string> parameters = ["mn_graph graph"];
        parameters.AddRange(one ? ["int32_t source"] : two ? ["int32_t left", "int32_t right"] : ["const int32_t* sources", "int32_t source_count"]);
        if (described)
        {
            parameters.Add($"const mn_{op.Descriptor}_desc* desc");
        }
        parameters.AddRange(["const char* name", "int32_t* node_out"]);

        output.Append($"\n/// Adds an ::MN_OP_{op.Id}.\n");
        WriteList(output, $"static inline mn_status mn_graph_{op.Name}(", parameters, ") {\n");
        if (two)
        {
            output.Append("    int32_t sources[2];\n    sources[0] = left;\n    sources[1] = right;\n");
        }
        string[] arguments =
        [
            "graph", $"MN_OP_{op.Id}", described ? "desc" : "NULL", one ? "&source" : "sources",
            one ? "1" : two ? "2" : "source_count", "name", "node_out",
        ];
        WriteList(output, "    return mn_graph_add(", arguments, ");\n");
        output.Append("}\n");
    }

    /// <summary>Writes a list in parentheses, broken as clang-format breaks it.</summary>
    private static void WriteList(StringBuilder output, string open, IReadOnlyList<string> items, string close)
    {
        string indent = new(' ', open.Length);
        string line = open;
        for (int i = 0; i < items.Count; i++)
        {
            string item = items[i] + (i < items.Count - 1 ? "," : close.TrimEnd('\n'));
            bool isFirst = i == 0;
            if (!isFirst && line.Length + 1 + item.Length > Width)
            {
                output.Append(line).Append('\n');
                line = indent + item;
            }
            else
            {
                line += (isFirst ? "" : " ") + item;
            }
        }
        output.Append(line).Append('\n');
    }
}
