using System.Collections.Immutable;
using System.Text.Json;

namespace MnistNative.IO;

/// <summary>Reads the properties of a layer in a model file. What is missing or malformed is a <see cref="FormatException"/>.</summary>
internal readonly struct LayerReader
{
    private readonly JsonElement _json;
    private readonly int _nesting;

    /// <param name="json">The layer.</param>
    /// <param name="nesting">How many branches or blocks it is in.</param>
    public LayerReader(JsonElement json, int nesting)
    {
        if (json.ValueKind != JsonValueKind.Object)
        {
            throw new FormatException($"a layer is a JSON {json.ValueKind}, not an object");
        }

        _json = json;
        _nesting = nesting;
    }

    /// <summary>The layer's own name, if it has one.</summary>
    public string? Name => Text("name");

    public string? Text(string key) =>
        !_json.TryGetProperty(key, out JsonElement value) ? null
        : value.ValueKind == JsonValueKind.String ? value.GetString()
        : throw Wrong(key, value);

    public int Int(string key) => ToInt(key, Get(key));

    public int[] Ints(string key)
    {
        JsonElement value = Get(key);
        return value.ValueKind == JsonValueKind.Array ? ToInts(key, value) : throw Wrong(key, value);
    }

    /// <summary>A shape without N: one to three dimensions.</summary>
    public int[] Shape(string key)
    {
        int[] shape = Ints(key);
        return shape.Length is >= 1 and <= 3 ? shape : throw Wrong(key, Get(key));
    }

    public float Float(string key)
    {
        JsonElement value = Get(key);
        return value.ValueKind == JsonValueKind.Number && value.TryGetSingle(out float number) ? number : throw Wrong(key, value);
    }

    public bool Has(string key) => _json.TryGetProperty(key, out _);

    /// <summary>One of the words, as its place among them.</summary>
    public int Word(string key, ReadOnlySpan<string> words)
    {
        int index = words.IndexOf(Text(key) ?? throw new FormatException($"a layer of type \"{Text("type")}\" has no \"{key}\""));
        return index >= 0 ? index : throw Wrong(key, Get(key));
    }

    /// <summary>Layers that follow one another.</summary>
    public ImmutableArray<Layer> Layers(string key) => [.. Layer.ReadAll(Get(key), _nesting + 1)];

    /// <summary>Branches, each of layers that follow one another.</summary>
    public ImmutableArray<ImmutableArray<Layer>> Branches(string key, int minimum, int maximum = int.MaxValue)
    {
        JsonElement value = Get(key);
        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() < minimum || value.GetArrayLength() > maximum)
        {
            throw Wrong(key, value);
        }

        int nesting = _nesting + 1;
        return [.. value.EnumerateArray().Select(branch => ImmutableArray.CreateRange(Layer.ReadAll(branch, nesting)))];
    }

    /// <summary>A padding: "same", or [height, width].</summary>
    public Padding Padding(string key) =>
        Get(key) is { ValueKind: JsonValueKind.String } value
            ? value.GetString() == "same" ? MnistNative.Padding.Same : throw Wrong(key, value)
            : Size(key);

    /// <summary>What a padding is filled with; zeros where nothing is said.</summary>
    public PaddingMode PaddingMode() => Has("padding_mode") ? (PaddingMode)Word("padding_mode", LayerWriter.PaddingModes) : default;

    public bool Bool(string key)
    {
        JsonElement value = Get(key);
        return value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean() : throw Wrong(key, value);
    }

    public Size2D Size(string key)
    {
        JsonElement value = Get(key);
        return value.ValueKind == JsonValueKind.Array && value.GetArrayLength() == 2
            ? new Size2D(ToInt(key, value[0]), ToInt(key, value[1]))
            : throw Wrong(key, value);
    }

    public float[] Floats(string key)
    {
        JsonElement value = Get(key);
        if (value.ValueKind != JsonValueKind.Array)
        {
            throw Wrong(key, value);
        }

        float[] numbers = new float[value.GetArrayLength()];
        for (int i = 0; i < numbers.Length; i++)
        {
            if (value[i].ValueKind != JsonValueKind.Number || !value[i].TryGetSingle(out numbers[i]))
            {
                throw Wrong(key, value);
            }
        }

        return numbers;
    }

    private JsonElement Get(string key) =>
        _json.TryGetProperty(key, out JsonElement value)
            ? value
            : throw new FormatException($"a layer of type \"{Text("type")}\" has no \"{key}\"");

    private int ToInt(string key, JsonElement value) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) ? number : throw Wrong(key, value);

    private int[] ToInts(string key, JsonElement array)
    {
        int[] numbers = new int[array.GetArrayLength()];
        for (int i = 0; i < numbers.Length; i++)
        {
            numbers[i] = ToInt(key, array[i]);
        }

        return numbers;
    }

    private FormatException Wrong(string key, JsonElement value) =>
        new($"a layer of type \"{(key == "type" ? "?" : Text("type"))}\" has the malformed \"{key}\" {value.GetRawText()}");
}

/// <summary>Writes what <see cref="LayerReader"/> reads.</summary>
internal static class LayerWriter
{
    /// <summary>How files call the values of <see cref="PaddingMode"/>.</summary>
    public static ReadOnlySpan<string> PaddingModes => new[] { "zeros", "reflect", "replicate", "circular" };

    public static void WriteInts(this Utf8JsonWriter json, string key, IEnumerable<int> values)
    {
        json.WriteStartArray(key);
        foreach (int value in values)
        {
            json.WriteNumberValue(value);
        }

        json.WriteEndArray();
    }

    public static void WriteLayers(this Utf8JsonWriter json, string key, IEnumerable<Layer> layers)
    {
        json.WritePropertyName(key);
        Layer.WriteAll(json, layers);
    }

    public static void WriteBranches(this Utf8JsonWriter json, string key, ImmutableArray<ImmutableArray<Layer>> branches)
    {
        json.WriteStartArray(key);
        foreach (ImmutableArray<Layer> branch in branches)
        {
            Layer.WriteAll(json, branch);
        }

        json.WriteEndArray();
    }

    public static void WritePadding(this Utf8JsonWriter json, string key, Padding padding, PaddingMode mode)
    {
        if (padding.IsSame)
        {
            json.WriteString(key, "same");
        }
        else
        {
            json.WriteSize(key, padding.Size);
        }

        if (mode != PaddingMode.Zeros)
        {
            json.WriteString("padding_mode", PaddingModes[(int)mode]);
        }
    }

    public static void WriteSize(this Utf8JsonWriter json, string key, Size2D size)
    {
        json.WriteStartArray(key);
        json.WriteNumberValue(size.Height);
        json.WriteNumberValue(size.Width);
        json.WriteEndArray();
    }

    public static void WriteFloats(this Utf8JsonWriter json, string key, ReadOnlySpan<float> values)
    {
        json.WriteStartArray(key);
        foreach (float value in values)
        {
            json.WriteNumberValue(value);
        }

        json.WriteEndArray();
    }
}
