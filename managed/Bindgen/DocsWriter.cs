using System.Text;

namespace MnistNative.Bindgen;

/// <summary>Writes the tables of the documentation that follow from the table of ops.</summary>
public static class DocsWriter
{
    /// <summary>A page with its table of layers.</summary>
    public static string WriteLayers(string page, OpTable table)
    {
        StringBuilder output = new("| C# | PyTorch | parameters |\n| --- | --- | --- |\n");
        foreach (LayerRow layer in table.Layers.Where(layer => layer.Documentation.Length > 0))
        {
            string[] columns = layer.Documentation.Split(" | ");
            string call = string.Join(", ", layer.Call).Replace("...", "…", StringComparison.Ordinal);
            output.Append($"| `{layer.Type}({call})` | {columns[0]} | {(columns.Length > 1 ? columns[1] + " " : "")}|\n");
        }
        return Marked.Replace(page, "<!-- written by ./build.sh bindings -->\n", "<!-- end -->\n", output.ToString());
    }

    /// <summary>A page with its table of ops and what runs them.</summary>
    public static string WriteOps(string page, OpTable table)
    {
        StringBuilder output = new("| op | on the CPU | on a card |\n| --- | --- | --- |\n");
        foreach (OpRow op in table.Ops.Where(op => op.Cpu != "MN_NO_KERNEL"))
        {
            string cpu = op.Cpu.Contains("MN_FAST(", StringComparison.Ordinal) ? "vectorised" : "reference kernel";
            string cuda = op.Cuda.StartsWith("MN_CUDA(", StringComparison.Ordinal)
                ? "yes"
                : "no: " + OpTable.Arguments(op.Cuda, op.Cuda.IndexOf('('))[0].Trim('"');
            output.Append($"| `{op.Name}` | {cpu} | {cuda} |\n");
        }
        return Marked.Replace(page, "<!-- written by ./build.sh bindings -->\n", "<!-- end -->\n", output.ToString());
    }
}
