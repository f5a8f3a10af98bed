using System.Buffers.Binary;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace MnistNative.Tests.Files;

/// <summary>Damages files at random: their bytes, their numbers, their texts, and the structure of their JSON.</summary>
internal sealed class Mutator(int seed)
{
    private static readonly JsonSerializerOptions s_json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, MaxDepth = 2000 };

    private static readonly long[] s_numbers =
        [0, 1, 2, 3, 4, 7, 8, 16, 127, 128, 255, 256, 32767, 65536, 16_777_216, 100_000_000, int.MaxValue, 1L << 31, 1L << 32, 1L << 40, long.MaxValue, -1, -2, int.MinValue, long.MinValue];

    private static readonly string[] s_values =
    [
        "null", "true", "\"\"", "\"x\"", "[]", "{}", "[[]]", "0", "-0.0", "0.5", "1e0", "1e9", "1e300", "-1e-300", "18446744073709551615",
        "99999999999999999999999", "\"NaN\"", "\"Infinity\"", "\"1e400\"", "\"same\"", "\"circular\"", "\"F32\"", "\"F4\"", "\"BF16\"",
        "[1]", "[0,0]", "[-1,-1]", "[1,1,1,1,1]", "[4294967296,4294967296]", "{\"type\":\"relu\"}", "[{\"type\":\"flatten\"}]",
    ];

    private readonly Random _random = new(seed);

    /// <summary>A file of any kind with one to six changes of its bytes.</summary>
    public byte[] Bytes(byte[] file)
    {
        var bytes = new List<byte>(file);
        for (int change = 1 + _random.Next(6); change > 0; change--)
        {
            // Most of what is read before anything else stands in front.
            int at = _random.Next(2) == 0 ? _random.Next(Math.Min(bytes.Count, 40) + 1) : _random.Next(bytes.Count + 1);
            int run = Math.Min(1 + _random.Next(16), bytes.Count - at);
            switch (_random.Next(8))
            {
                case 0 when at < bytes.Count:
                    bytes[at] ^= (byte)(1 << _random.Next(8));
                    break;
                case 1 when at < bytes.Count:
                    bytes[at] = (byte)s_numbers[_random.Next(s_numbers.Length)];
                    break;
                case 2:
                    bytes.RemoveRange(at, run);
                    break;
                case 3:
                    bytes.InsertRange(at, [.. Enumerable.Range(0, 1 + _random.Next(16)).Select(_ => (byte)_random.Next(256))]);
                    break;
                case 4:
                    bytes.InsertRange(_random.Next(bytes.Count + 1), bytes.GetRange(at, run));
                    break;
                case 5 when _random.Next(3) == 0:
                    bytes.RemoveRange(at, bytes.Count - at);
                    break;
                default:
                    Overwrite(bytes, at);
                    break;
            }
        }

        return [.. bytes];
    }

    /// <summary>A JSON text with one to four changes of its structure.</summary>
    public string Json(string text)
    {
        JsonNode root = JsonNode.Parse(text)!;
        for (int change = 1 + _random.Next(4); change > 0; change--)
        {
            JsonNode[] places = [.. Places(root)];
            if (places.Length == 0)
            {
                break;
            }

            JsonNode place = places[_random.Next(places.Length)];
            switch (_random.Next(7))
            {
                case 0:
                    place.ReplaceWith(JsonNode.Parse(s_values[_random.Next(s_values.Length)]));
                    break;
                case 1:
                    place.ReplaceWith(JsonValue.Create(s_numbers[_random.Next(s_numbers.Length)]));
                    break;
                case 2:
                    place.ReplaceWith(places[_random.Next(places.Length)].DeepClone());
                    break;
                case 3:
                    Remove(place);
                    break;
                case 4 when place.Parent is JsonArray array:
                    array.Insert(_random.Next(array.Count + 1), places[_random.Next(places.Length)].DeepClone());
                    break;
                case 5 when place is JsonArray { Count: < 50 } layers:
                    place.ReplaceWith(Nest(layers, _random.Next(20) == 0 ? _random.Next(150) : 1 + _random.Next(4)));
                    break;
                case 6 when place.Parent is JsonObject properties:
                    string name = place.GetPropertyName();
                    Remove(place);
                    properties[_random.Next(2) == 0 ? name.ToUpperInvariant() : name + "x"] = place;
                    break;
            }
        }

        string changed = root.ToJsonString(s_json);
        return _random.Next(4) == 0 ? Encoding.UTF8.GetString(Bytes(Encoding.UTF8.GetBytes(changed))) : changed;
    }

    /// <summary>
    /// A safetensors file whose bytes, header, or JSON texts in the header's metadata are changed, with the right length of the
    /// header in front but in the first case.
    /// </summary>
    public byte[] SafeTensors(byte[] file)
    {
        if (_random.Next(3) == 0)
        {
            return Bytes(file);
        }

        int start = 8 + (int)BinaryPrimitives.ReadInt64LittleEndian(file);
        string header = Encoding.UTF8.GetString(file, 8, start - 8);
        if (_random.Next(2) == 0)
        {
            header = Json(header);
        }
        else
        {
            JsonNode root = JsonNode.Parse(header)!;
            JsonObject metadata = root["__metadata__"]!.AsObject();
            string[] texts = [.. metadata.Where(pair => pair.Value!.GetValue<string>().StartsWith('{')).Select(pair => pair.Key)];
            string key = texts[_random.Next(texts.Length)];
            metadata[key] = Json(metadata[key]!.GetValue<string>());
            header = root.ToJsonString(s_json);
        }

        byte[] text = Encoding.UTF8.GetBytes(header);
        byte[] length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, text.Length);
        return [.. length, .. text, .. file.AsSpan(start)];
    }

    // A number of one, two, four or eight bytes, in either order.
    private void Overwrite(List<byte> bytes, int at)
    {
        byte[] number = BitConverter.GetBytes(s_numbers[_random.Next(s_numbers.Length)])[..(1 << _random.Next(4))];
        if (_random.Next(2) == 0)
        {
            Array.Reverse(number);
        }

        for (int i = 0; i < number.Length && at + i < bytes.Count; i++)
        {
            bytes[at + i] = number[i];
        }
    }

    private JsonNode Nest(JsonArray layers, int depth)
    {
        JsonNode nested = layers.DeepClone();
        for (int i = 0; i < depth; i++)
        {
            nested = _random.Next(3) switch
            {
                0 => new JsonArray(nested),
                1 => new JsonArray(new JsonObject { ["type"] = "block", ["layers"] = nested }),
                _ => new JsonArray(new JsonObject { ["type"] = "residual", ["branches"] = new JsonArray(nested, new JsonArray()) }),
            };
        }

        return nested;
    }

    private static void Remove(JsonNode place)
    {
        if (place.Parent is JsonArray array)
        {
            array.Remove(place);
        }
        else if (place.Parent is JsonObject properties)
        {
            properties.Remove(place.GetPropertyName());
        }
    }

    private static IEnumerable<JsonNode> Places(JsonNode node)
    {
        IEnumerable<JsonNode?> children = node switch
        {
            JsonObject properties => properties.Select(property => property.Value),
            JsonArray elements => elements,
            _ => [],
        };
        return children.OfType<JsonNode>().SelectMany(child => Places(child).Prepend(child));
    }
}
