using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace MnistNative.Cli;

/// <summary>Writes one JSON object a line.</summary>
internal static class JsonLines
{
    private static readonly JsonWriterOptions s_options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Writes an object with the event's name and what <paramref name="write"/> adds.</summary>
    public static void Write(CliContext context, string eventName, Action<Utf8JsonWriter> write)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, s_options))
        {
            json.WriteStartObject();
            json.WriteString("event", eventName);
            write(json);
            json.WriteEndObject();
        }

        context.Out.WriteLine(Encoding.UTF8.GetString(buffer.GetBuffer(), 0, (int)buffer.Length));
        context.Out.Flush();
    }

    /// <summary>Writes a number with a few digits; null if there is none, or it is not finite, which JSON cannot say.</summary>
    public static void WriteRounded(this Utf8JsonWriter json, string name, double? value, int digits)
    {
        json.WritePropertyName(name);
        json.WriteRoundedValue(value, digits);
    }

    /// <summary>The same without a name, for arrays.</summary>
    public static void WriteRoundedValue(this Utf8JsonWriter json, double? value, int digits)
    {
        if (value is double number && double.IsFinite(number))
        {
            json.WriteNumberValue(Math.Round(number, digits));
        }
        else
        {
            json.WriteNullValue();
        }
    }
}
