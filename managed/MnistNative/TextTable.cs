using System.Text;

namespace MnistNative;

/// <summary>Lays out rows of text in columns.</summary>
internal static class TextTable
{
    /// <summary>Two spaces between columns, and a line below the first row and the last.</summary>
    /// <param name="rows">The rows, headings first, all of one length.</param>
    /// <param name="leftColumns">How many columns, from the first, begin at the left; the others hold numbers.</param>
    public static string Format(IReadOnlyList<string[]> rows, int leftColumns)
    {
        int[] widths = [.. Enumerable.Range(0, rows[0].Length).Select(column => rows.Max(row => row[column].Length))];
        string rule = new('-', widths.Sum() + (2 * (widths.Length - 1)));
        var text = new StringBuilder();
        foreach (string[] row in rows)
        {
            text.AppendLine(string.Join("  ", row.Select((cell, column) =>
                column < leftColumns ? cell.PadRight(widths[column]) : cell.PadLeft(widths[column]))).TrimEnd());
            if (row == rows[0])
            {
                text.AppendLine(rule);
            }
        }

        return text.Append(rule).ToString();
    }
}
