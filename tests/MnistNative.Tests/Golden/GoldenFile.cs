using System.Buffers.Binary;
using System.Text.Json;

namespace MnistNative.Tests.Golden;

/// <summary>A tensor of a file; whole numbers are kept as floats, which hold those of the files exactly.</summary>
internal sealed record GoldenTensor(int[] Shape, float[] Values);

/// <summary>
/// A file of cases. It has a reader of its own, so that the numbers do not pass through the code that they judge.
/// </summary>
internal sealed class GoldenFile
{
    private readonly string _path;
    private readonly byte[] _bytes;
    private readonly Dictionary<string, JsonElement> _tensors = new(StringComparer.Ordinal);
    private readonly Dictionary<string, JsonElement> _cases = new(StringComparer.Ordinal);
    private readonly int _dataStart;

    /// <summary>Reads a file.</summary>
    /// <exception cref="InvalidDataException">It is no file of cases, or has none.</exception>
    public GoldenFile(string path)
    {
        _path = path;
        _bytes = File.ReadAllBytes(path);
        try
        {
            long headerLength = BinaryPrimitives.ReadInt64LittleEndian(_bytes);
            _dataStart = checked((int)(8 + headerLength));
            foreach (JsonProperty entry in Parse(_bytes.AsMemory(8, (int)headerLength)).EnumerateObject())
            {
                if (entry.Name != "__metadata__")
                {
                    _tensors.Add(entry.Name, entry.Value);
                    continue;
                }

                byte[] cases = System.Text.Encoding.UTF8.GetBytes(entry.Value.GetProperty("cases").GetString()!);
                foreach (JsonElement description in Parse(cases).EnumerateArray())
                {
                    _cases.Add(description.GetProperty("name").GetString()!, description);
                }
            }
        }
        catch (Exception e) when (e is not InvalidDataException)
        {
            throw new InvalidDataException($"\"{path}\" is no file of cases: {e.Message}", e);
        }

        if (_cases.Count == 0)
        {
            throw new InvalidDataException($"\"{path}\" has no cases.");
        }
    }

    /// <summary>Names of the cases, in the order of the file.</summary>
    public IReadOnlyCollection<string> CaseNames => _cases.Keys;

    /// <summary>Reads a case with all its tensors, for a test of <paramref name="device"/>.</summary>
    public GoldenCase Case(string name, Device device)
    {
        string prefix = name + "/";
        return new GoldenCase(
            _cases[name],
            _tensors.Keys
                .Where(tensor => tensor.StartsWith(prefix, StringComparison.Ordinal))
                .ToDictionary(tensor => tensor[prefix.Length..], Read),
            device);
    }

    private static JsonElement Parse(ReadOnlyMemory<byte> json)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        return document.RootElement.Clone();
    }

    private GoldenTensor Read(string name)
    {
        JsonElement entry = _tensors[name];
        int[] shape = [.. entry.GetProperty("shape").EnumerateArray().Select(dimension => dimension.GetInt32())];
        int start = entry.GetProperty("data_offsets")[0].GetInt32();
        int end = entry.GetProperty("data_offsets")[1].GetInt32();
        ReadOnlySpan<byte> data = _bytes.AsSpan((_dataStart + start)..(_dataStart + end));
        float[] values = new float[shape.Aggregate(1, (product, dimension) => product * dimension)];
        string type = entry.GetProperty("dtype").GetString()!;
        int size = type switch
        {
            "F32" => sizeof(float),
            "I64" => sizeof(long),
            _ => throw new InvalidDataException($"\"{_path}\": {name} is of type {type}, which no case has."),
        };
        if (data.Length != values.Length * size)
        {
            throw new InvalidDataException($"\"{_path}\": {name} has {data.Length} bytes, not {values.Length * size}.");
        }

        for (int i = 0; i < values.Length; i++)
        {
            ReadOnlySpan<byte> element = data.Slice(i * size, size);
            values[i] = size == sizeof(float)
                ? BinaryPrimitives.ReadSingleLittleEndian(element)
                : BinaryPrimitives.ReadInt64LittleEndian(element);
        }

        return new GoldenTensor(shape, values);
    }
}
