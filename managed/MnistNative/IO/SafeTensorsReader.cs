using System.Buffers;
using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;

namespace MnistNative.IO;

/// <summary>One tensor of a file.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Type">Type of its elements.</param>
/// <param name="Shape">Its dimensions.</param>
/// <param name="Count">Number of elements; 0 of a type that this version does not know.</param>
/// <param name="Offset">Where its bytes begin, counted from the start of the file.</param>
/// <param name="Bytes">Number of its bytes.</param>
internal sealed record TensorEntry(string Name, TensorType Type, long[] Shape, long Count, long Offset, long Bytes);

/// <summary>
/// Reads a safetensors file: eight bytes with the header's length, a JSON header, the tensors' bytes without gaps.
/// </summary>
/// <remarks>
/// Everything is checked before anything is read, so that a damaged file gives an <see cref="InvalidDataException"/>
/// that names the file and the problem.
/// </remarks>
internal sealed class SafeTensorsReader : IDisposable
{
    private const int PrefixBytes = 8;
    private const long MaxHeaderBytes = 100_000_000;
    private const string MetadataKey = "__metadata__";
    private const int ChunkElements = 64 * 1024;

    private readonly SafeFileHandle _file;
    private readonly Dictionary<string, TensorEntry> _tensors = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _metadata = new(StringComparer.Ordinal);

    private SafeTensorsReader(string path, SafeFileHandle file)
    {
        Path = path;
        _file = file;
    }

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>The tensors in the order of the header.</summary>
    public IReadOnlyCollection<TensorEntry> Tensors => _tensors.Values;

    /// <summary>The strings that the file carries beside its tensors.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _metadata;

    /// <summary>Opens a file and checks its header.</summary>
    public static SafeTensorsReader Open(string path)
    {
        SafeFileHandle file = File.OpenHandle(path);
        try
        {
            var reader = new SafeTensorsReader(path, file);
            reader.ReadHeader();
            return reader;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    public void Dispose() => _file.Dispose();

    public bool TryGet(string name, [NotNullWhen(true)] out TensorEntry? tensor) => _tensors.TryGetValue(name, out tensor);

    /// <summary>Reads a tensor's only value, which counts something.</summary>
    /// <exception cref="InvalidDataException">It is negative or no whole number, or larger than a double holds exactly.</exception>
    public long ReadCounter(TensorEntry tensor)
    {
        const double most = 1L << 53;
        Span<byte> element = stackalloc byte[tensor.Type.Size];
        ReadExactly(element, tensor.Offset);
        double value = tensor.Type.ToNumber(element);
        return value is >= 0 and <= most && Math.Floor(value) == value
            ? (long)value
            : throw Bad($"tensor \"{tensor.Name}\" is {value.ToString(CultureInfo.InvariantCulture)}, and it counts batches");
    }

    /// <summary>Reads a tensor as floats, converting where the file holds another floating-point type.</summary>
    public void Read(TensorEntry tensor, Span<float> values)
    {
        if (!tensor.Type.IsFloat)
        {
            throw Bad($"tensor \"{tensor.Name}\" is of type {tensor.Type.Name}; floats (F32, F64, F16, BF16) are needed");
        }

        bool direct = tensor.Type == TensorType.F32 && BitConverter.IsLittleEndian;
        byte[]? buffer = direct ? null : ArrayPool<byte>.Shared.Rent(ChunkElements * tensor.Type.Size);
        try
        {
            for (int done = 0; done < values.Length;)
            {
                Span<float> part = values.Slice(done, Math.Min(ChunkElements, values.Length - done));
                Span<byte> bytes = direct ? MemoryMarshal.AsBytes(part) : buffer.AsSpan(0, part.Length * tensor.Type.Size);
                ReadExactly(bytes, tensor.Offset + ((long)done * tensor.Type.Size));
                if (!direct)
                {
                    tensor.Type.ToFloats(bytes, part);
                }

                done += part.Length;
            }
        }
        finally
        {
            if (buffer is not null)
            {
                ArrayPool<byte>.Shared.Return(buffer);
            }
        }
    }

    /// <summary>An exception that names the file.</summary>
    public InvalidDataException Bad(string problem, Exception? cause = null) =>
        new($"\"{Path}\" is not a valid model file: {problem}.", cause);

    private void ReadHeader()
    {
        long length = RandomAccess.GetLength(_file);
        if (length < PrefixBytes)
        {
            throw Bad($"it has {length} bytes, and a safetensors file has at least {PrefixBytes}");
        }

        Span<byte> prefix = stackalloc byte[PrefixBytes];
        ReadExactly(prefix, 0);
        ulong headerBytes = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        if (headerBytes > MaxHeaderBytes)
        {
            throw Bad($"its header would have {headerBytes} bytes, and at most {MaxHeaderBytes} are allowed, so it may be no safetensors file");
        }

        if ((long)headerBytes > length - PrefixBytes)
        {
            throw Bad($"its header would have {headerBytes} bytes, and the file ends after {length - PrefixBytes} of them");
        }

        byte[] header = new byte[headerBytes];
        ReadExactly(header, PrefixBytes);
        try
        {
            using JsonDocument document = JsonDocument.Parse(header);
            ReadEntries(document.RootElement, PrefixBytes + (long)headerBytes, length);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // The second is what text that is no valid UTF-8 gives.
            throw Bad($"its header is not valid JSON ({e.Message.TrimEnd('.')})", e);
        }
    }

    private void ReadEntries(JsonElement root, long dataStart, long fileLength)
    {
        if (root.ValueKind != JsonValueKind.Object)
        {
            throw Bad($"its header is a JSON {root.ValueKind}, not an object");
        }

        bool hasMetadata = false;
        foreach (JsonProperty property in root.EnumerateObject())
        {
            if (property.Name == MetadataKey)
            {
                if (hasMetadata)
                {
                    throw Bad($"{MetadataKey} occurs twice");
                }

                hasMetadata = true;
                ReadMetadata(property.Value);
                continue;
            }

            TensorEntry tensor = ReadEntry(property.Name, property.Value, dataStart, fileLength);
            if (!_tensors.TryAdd(tensor.Name, tensor))
            {
                throw Bad($"tensor \"{tensor.Name}\" occurs twice");
            }
        }

        CheckLayout(dataStart, fileLength);
    }

    private void ReadMetadata(JsonElement metadata)
    {
        if (metadata.ValueKind != JsonValueKind.Object)
        {
            throw Bad($"{MetadataKey} is not an object");
        }

        foreach (JsonProperty property in metadata.EnumerateObject())
        {
            if (property.Value.ValueKind != JsonValueKind.String)
            {
                throw Bad($"{MetadataKey} entry \"{property.Name}\" is not a string");
            }

            if (!_metadata.TryAdd(property.Name, property.Value.GetString()!))
            {
                throw Bad($"{MetadataKey} entry \"{property.Name}\" occurs twice");
            }
        }

        CheckVersion();
    }

    private void CheckVersion()
    {
        if (_metadata.TryGetValue(FileFormat.MetadataKey, out string? text))
        {
            if (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int version) || version < 1)
            {
                throw Bad($"the version of its format is \"{text}\", and versions are whole numbers from 1");
            }

            if (version > FileFormat.Version)
            {
                throw Bad(
                    $"its format is of version {version}, and this library reads versions up to {FileFormat.Version}; "
                    + "a newer version of the library wrote it");
            }
        }
    }

    private TensorEntry ReadEntry(string name, JsonElement value, long dataStart, long fileLength)
    {
        if (value.ValueKind != JsonValueKind.Object)
        {
            throw Bad($"the header's entry \"{name}\" is not an object");
        }

        if (!value.TryGetProperty("dtype", out JsonElement dtype) || dtype.ValueKind != JsonValueKind.String)
        {
            throw Bad($"tensor \"{name}\" has no dtype");
        }

        TensorType type = TensorType.Find(dtype.GetString()!);
        long[] shape = ReadNumbers(name, value, "shape");
        long[] offsets = ReadNumbers(name, value, "data_offsets");
        if (offsets.Length != 2)
        {
            throw Bad($"tensor \"{name}\" has {offsets.Length} data_offsets, not 2");
        }

        (long start, long end) = (offsets[0], offsets[1]);
        if (start > end || end > fileLength - dataStart)
        {
            throw Bad($"tensor \"{name}\" lies at bytes {start} to {end}, and the file has {fileLength - dataStart} bytes of data");
        }

        // The size of elements that are unknown cannot be checked; some take less than a byte.
        if (!type.IsKnown)
        {
            return new TensorEntry(name, type, shape, 0, dataStart + start, end - start);
        }

        long count = 1;
        try
        {
            foreach (long dimension in shape)
            {
                count = checked(count * dimension);
            }

            if (checked(count * type.Size) != end - start)
            {
                throw Bad(
                    $"tensor \"{name}\" of shape [{string.Join(", ", shape)}] and type {type.Name} " +
                    $"needs {count * type.Size} bytes and has {end - start}");
            }
        }
        catch (OverflowException e)
        {
            throw Bad($"tensor \"{name}\" has the impossible shape [{string.Join(", ", shape)}]", e);
        }

        return new TensorEntry(name, type, shape, count, dataStart + start, end - start);
    }

    private long[] ReadNumbers(string tensor, JsonElement value, string key)
    {
        if (!value.TryGetProperty(key, out JsonElement array) || array.ValueKind != JsonValueKind.Array)
        {
            throw Bad($"tensor \"{tensor}\" has no {key}");
        }

        long[] numbers = new long[array.GetArrayLength()];
        int i = 0;
        foreach (JsonElement element in array.EnumerateArray())
        {
            if (element.ValueKind != JsonValueKind.Number || !element.TryGetInt64(out numbers[i]) || numbers[i] < 0)
            {
                throw Bad($"tensor \"{tensor}\" has {element.GetRawText()} in its {key}, which must be whole numbers from 0");
            }

            i++;
        }

        return numbers;
    }

    // The format allows neither gaps nor overlaps: in the order of their offsets, each tensor begins where the one
    // before ends, and the last ends with the file.
    private void CheckLayout(long dataStart, long fileLength)
    {
        TensorEntry[] sorted = [.. _tensors.Values];
        Array.Sort(sorted, (a, b) => a.Offset != b.Offset ? a.Offset.CompareTo(b.Offset) : a.Bytes.CompareTo(b.Bytes));
        long position = dataStart;
        foreach (TensorEntry tensor in sorted)
        {
            if (tensor.Offset != position)
            {
                string how = tensor.Offset < position ? "overlaps the tensor before it" : "leaves a gap to the tensor before it";
                throw Bad(
                    $"tensor \"{tensor.Name}\" {how}: it begins at byte {tensor.Offset - dataStart}, " +
                    $"and {position - dataStart} was expected");
            }

            position += tensor.Bytes;
        }

        if (position != fileLength)
        {
            throw Bad($"its tensors end at byte {position - dataStart} and its data at byte {fileLength - dataStart}");
        }
    }

    private void ReadExactly(Span<byte> buffer, long offset)
    {
        while (!buffer.IsEmpty)
        {
            int read = RandomAccess.Read(_file, buffer, offset);
            if (read == 0)
            {
                throw Bad($"it ends at byte {offset}, within its data");
            }

            buffer = buffer[read..];
            offset += read;
        }
    }
}
