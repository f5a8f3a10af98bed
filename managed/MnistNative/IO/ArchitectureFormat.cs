using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace MnistNative.IO;

/// <summary>A network's description as JSON text, which model files carry.</summary>
internal static class ArchitectureFormat
{
    /// <summary>Where model files keep it.</summary>
    public const string MetadataKey = "mnistnative.architecture";

    /// <summary>Version of the text; it grows when an older library would misread it.</summary>
    private const int Version = 2;

    /// <summary>The oldest version that is read. Version 1 has neither branches nor padding modes.</summary>
    private const int OldestVersion = 1;

    /// <summary>Most levels of the text, of which a branch in a branch takes three.</summary>
    private const int MaxDepth = (4 * Sequential.MaxNesting) + 16;

    public static string Write(Sequential network)
    {
        using var buffer = new MemoryStream();
        var options = new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, MaxDepth = MaxDepth };
        using (var json = new Utf8JsonWriter(buffer, options))
        {
            json.WriteStartObject();
            json.WriteNumber("version", Version);
            json.WriteStartArray("input");
            json.WriteNumberValue(network.InputShape.Channels);
            json.WriteNumberValue(network.InputShape.Height);
            json.WriteNumberValue(network.InputShape.Width);
            json.WriteEndArray();
            json.WritePropertyName("layers");
            Layer.WriteAll(json, network.Layers);
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.GetBuffer(), 0, (int)buffer.Length);
    }

    /// <exception cref="FormatException">The text is not a description that this version knows.</exception>
    public static Sequential Read(string text)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(text, new JsonDocumentOptions { MaxDepth = MaxDepth });
            return Read(document.RootElement);
        }
        catch (JsonException e)
        {
            throw new FormatException($"it is not valid JSON ({e.Message.TrimEnd('.')})", e);
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException)
        {
            throw new FormatException(e.Message.TrimEnd('.'), e);
        }
    }

    private static Sequential Read(JsonElement root)
    {
        if (root.ValueKind != JsonValueKind.Object
            || !root.TryGetProperty("version", out JsonElement version)
            || version.ValueKind != JsonValueKind.Number
            || !version.TryGetInt32(out int number))
        {
            throw new FormatException("it has no version");
        }

        if (number is < OldestVersion or > Version)
        {
            throw new FormatException($"it is of version {number}, and this library reads versions {OldestVersion} to {Version}");
        }

        if (!root.TryGetProperty("layers", out JsonElement layers) || layers.ValueKind != JsonValueKind.Array)
        {
            throw new FormatException("it has no layers");
        }

        return Sequential.ReadLayers(ReadShape(root), layers);
    }

    private static ImageShape ReadShape(JsonElement root)
    {
        Span<int> dimensions = stackalloc int[3];
        if (root.TryGetProperty("input", out JsonElement input)
            && input.ValueKind == JsonValueKind.Array
            && input.GetArrayLength() == dimensions.Length)
        {
            for (int i = 0; i < dimensions.Length; i++)
            {
                _ = input[i].ValueKind == JsonValueKind.Number && input[i].TryGetInt32(out dimensions[i]);
            }
        }

        var shape = new ImageShape(dimensions[0], dimensions[1], dimensions[2]);
        shape.Validate("input");
        return shape;
    }
}
