using MnistNative.Interop;

namespace MnistNative;

/// <summary>Finds out where a training has first left the finite numbers.</summary>
internal static unsafe class Divergence
{
    /// <summary>A place that is not finite.</summary>
    /// <param name="Layer">The layer's name, its type where it has none, or <c>Input</c>.</param>
    /// <param name="What">The same in words, for example <c>the output of Linear "4"</c>.</param>
    public readonly record struct Place(string Layer, string What);

    /// <summary>The first parameter of the network that is not finite; null if all are.</summary>
    /// <param name="model">The model.</param>
    /// <param name="buffer">Holds one parameter at a time; made at the first call.</param>
    public static Place? FirstParameter(Model model, ref float[] buffer)
    {
        for (int i = 0; i < model.Parameters.Count; i++)
        {
            if (!IsFinite(model, i, ref buffer))
            {
                string name = model.Parameters[i].Name;
                int dot = name.LastIndexOf('.');
                return new Place(dot < 0 ? name : name[..dot], $"the parameter \"{name}\"");
            }
        }

        return null;
    }

    /// <summary>
    /// The first layer that is not finite for a batch, in the order of the network: its parameters, or its output, which is
    /// that of inference. Null if there is none.
    /// </summary>
    /// <remarks>It makes a second model, in which every layer is an output.</remarks>
    public static Place? FirstLayer(Model model, ReadOnlySpan<float> images)
    {
        int length = model.InputShape.Length;
        using Model layers = model.WithEveryLayer();
        IReadOnlyList<LayerSummary> rows = layers.Summary().Layers;
        float[][] outputs = [.. rows.Select(row => new float[row.OutputShape.Aggregate(1L, (product, dimension) => product * dimension)])];
        float[] buffer = [];
        int first = rows.Count;
        for (int start = 0; start < images.Length && first > 0; start += length)
        {
            layers.ForwardEveryLayer(images.Slice(start, length), outputs);
            int found = Array.FindIndex(outputs, 0, first, output => !IsFinite(output));
            first = found < 0 ? first : found;
        }

        for (int row = 0; row < rows.Count; row++)
        {
            string prefix = rows[row].Name + ".";
            for (int i = 0; rows[row].Name.Length > 0 && i < model.Parameters.Count; i++)
            {
                string name = model.Parameters[i].Name;
                if (name.StartsWith(prefix, StringComparison.Ordinal) && !name.AsSpan(prefix.Length).Contains('.')
                    && !IsFinite(model, i, ref buffer))
                {
                    return new Place(rows[row].Name, $"the parameter \"{name}\"");
                }
            }

            if (row == first)
            {
                return row == 0 ? new Place("Input", "the images")
                    : rows[row].Name.Length == 0 ? new Place(rows[row].Type, $"the output of {rows[row].Type}")
                    : new Place(rows[row].Name, $"the output of {rows[row].Type} \"{rows[row].Name}\"");
            }
        }

        return null;
    }

    private static bool IsFinite(Model model, int parameter, ref float[] buffer)
    {
        int count = model.Parameters[parameter].Count;
        if (buffer.Length < count)
        {
            buffer = new float[model.Parameters.Max(each => each.Count)];
        }

        Span<float> values = buffer.AsSpan(0, count);
        model.Read(parameter, MnParameterPart.Value, values);
        return IsFinite(values);
    }

    private static bool IsFinite(ReadOnlySpan<float> values)
    {
        foreach (float value in values)
        {
            if (!float.IsFinite(value))
            {
                return false;
            }
        }

        return true;
    }
}
