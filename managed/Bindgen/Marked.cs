namespace MnistNative.Bindgen;

/// <summary>A part of a text between two lines that stay.</summary>
public static class Marked
{
    /// <summary>The text with another such part.</summary>
    /// <exception cref="NotSupportedException">The text does not say where that part is.</exception>
    public static string Replace(string text, string begin, string end, string part)
    {
        (int first, int last) = Find(text, begin, end);
        return text[..first] + part + text[last..];
    }

    /// <summary>The text without that part.</summary>
    public static string Remove(string text, string begin, string end) => Replace(text, begin, end, "");

    private static (int First, int Last) Find(string text, string begin, string end)
    {
        int first = text.IndexOf(begin, StringComparison.Ordinal) + begin.Length;
        int last = first < begin.Length ? -1 : text.IndexOf(end, first, StringComparison.Ordinal);
        return last >= 0 ? (first, last) : throw new NotSupportedException($"the lines \"{begin.Trim()}\" and \"{end.Trim()}\" are missing");
    }
}
