using System.Text.Json;

namespace MnistNative.IO;

/// <summary>Reads the properties of a layer in a model file. What is missing or malformed is a <see cref="FormatException"/>.</summary>
internal readonly struct LayerReader
{
    private readonly JsonElement _json;

    public LayerReader(JsonElement json)
    {
        if (json.ValueKind != JsonValueKind.Object)
        {
            throw new FormatException($"a layer is a JSON {json.ValueKind}, not an object");
        }

        _json = json;
    }

    /// <summary>The layer's own name, if it has one.</summary>
    public string? Name => Text("name");

    public string? Text(string key) =>
        !_json.TryGetProperty(key, out JsonElement value) ? null
        : value.ValueKind == JsonValueKind.String ? value.GetString()
        : throw Wrong(key, value);

    public int Int(string key) => ToInt(key, Get(key));

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

    private FormatException Wrong(string key, JsonElement value) =>
        new($"a layer of type \"{(key == "type" ? "?" : Text("type"))}\" has the malformed \"{key}\" {value.GetRawText()}");
}

/// <summary>Writes what <see cref="LayerReader"/> reads.</summary>
internal static class LayerWriter
{
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
