using System.Globalization;
using System.Text;
using MnistNative.Interop;

namespace MnistNative;

/// <summary>One layer of a <see cref="ModelSummary"/>.</summary>
/// <param name="Name">The layer's name, "" for the input and for layers that PyTorch has no module for.</param>
/// <param name="Type">What it is, for example <c>Conv2d</c>.</param>
/// <param name="OutputShape">Shape of its result for one image: C, H, W or F.</param>
/// <param name="ParameterCount">Values in its trainable parameters.</param>
public sealed record LayerSummary(string Name, string Type, IReadOnlyList<long> OutputShape, long ParameterCount);

/// <summary>The layers of a network with their output shapes and parameters; <see cref="ToString"/> gives the table.</summary>
public sealed class ModelSummary
{
    internal ModelSummary(IReadOnlyList<LayerSummary> layers) => Layers = layers;

    /// <summary>The input, then the layers in order.</summary>
    public IReadOnlyList<LayerSummary> Layers { get; }

    /// <summary>Values in all trainable parameters.</summary>
    public long ParameterCount => Layers.Sum(layer => layer.ParameterCount);

    /// <summary>The table as text.</summary>
    public override string ToString()
    {
        List<string[]> rows = [["Name", "Layer", "Output shape", "Parameters"]];
        rows.AddRange(Layers.Select(layer => new[]
        {
            layer.Name, layer.Type, NativeShape.ToText(layer.OutputShape), Number(layer.ParameterCount),
        }));
        int[] widths = [.. Enumerable.Range(0, rows[0].Length).Select(column => rows.Max(row => row[column].Length))];
        string rule = new('-', widths.Sum() + (2 * (widths.Length - 1)));

        var text = new StringBuilder();
        foreach (string[] row in rows)
        {
            text.Append(row[0].PadRight(widths[0])).Append("  ")
                .Append(row[1].PadRight(widths[1])).Append("  ")
                .Append(row[2].PadRight(widths[2])).Append("  ")
                .AppendLine(row[3].PadLeft(widths[3]));
            if (row == rows[0])
            {
                text.AppendLine(rule);
            }
        }

        return text.AppendLine(rule).Append($"Parameters: {Number(ParameterCount)}").ToString();
    }

    private static string Number(long value) => value.ToString("N0", CultureInfo.InvariantCulture);
}
