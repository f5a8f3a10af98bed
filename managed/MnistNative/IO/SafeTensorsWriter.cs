using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace MnistNative.IO;

/// <summary>One tensor to be written, of float32 or, for whole numbers, of int64.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Shape">Its dimensions.</param>
/// <param name="Count">Number of elements.</param>
/// <param name="IsWhole">Whether it is a counter, which the file holds as a whole number.</param>
internal readonly record struct TensorToWrite(string Name, IReadOnlyList<long> Shape, long Count, bool IsWhole = false)
{
    public TensorType Type => IsWhole ? TensorType.I64 : TensorType.F32;

    /// <summary>How many floats its values take; see <see cref="ParameterInfo.ExactCount"/>.</summary>
    public long FloatCount => IsWhole ? 2 : Count;
}

/// <summary>Copies one tensor's values into the span.</summary>
internal delegate void ReadTensor(int index, Span<float> values);

/// <summary>Writes a safetensors file, atomically.</summary>
internal static class SafeTensorsWriter
{
    private const int Alignment = 8;
    private const int ChunkElements = 16 * 1024;

    /// <summary>Writes the tensors, in the order given, with the metadata and the version of the format.</summary>
    /// <param name="path">The file, which is replaced if it exists.</param>
    /// <param name="metadata">Strings that the file carries beside its tensors.</param>
    /// <param name="tensors">What is to be written.</param>
    /// <param name="read">Gives the values of a tensor by its place in <paramref name="tensors"/>.</param>
    public static void Write(
        string path,
        IReadOnlyDictionary<string, string> metadata,
        IReadOnlyList<TensorToWrite> tensors,
        ReadTensor read)
    {
        byte[] header = MakeHeader(metadata, tensors);
        float[] values = new float[tensors.Select(tensor => tensor.FloatCount).DefaultIfEmpty().Max()];
        AtomicFile.Write(path, stream =>
        {
            stream.Write(header);
            for (int i = 0; i < tensors.Count; i++)
            {
                Span<float> span = values.AsSpan(0, (int)tensors[i].FloatCount);
                read(i, span);
                if (tensors[i].IsWhole)
                {
                    WriteWhole(stream, span);
                }
                else
                {
                    WriteFloats(stream, span);
                }
            }
        });
    }

    private static byte[] MakeHeader(IReadOnlyDictionary<string, string> metadata, IReadOnlyList<TensorToWrite> tensors)
    {
        using var buffer = new MemoryStream();
        buffer.Write(stackalloc byte[sizeof(ulong)]);

        // No HTML escaping: the header is read by other libraries, and by people.
        var options = new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
        using (var json = new Utf8JsonWriter(buffer, options))
        {
            json.WriteStartObject();
            json.WriteStartObject("__metadata__");
            var all = new Dictionary<string, string>(metadata);
            all.TryAdd(FileFormat.MetadataKey, FileFormat.Version.ToString(CultureInfo.InvariantCulture));
            foreach ((string key, string value) in all.OrderBy(pair => pair.Key, StringComparer.Ordinal))
            {
                json.WriteString(key, value);
            }

            json.WriteEndObject();
            long offset = 0;
            foreach (TensorToWrite tensor in tensors)
            {
                json.WriteStartObject(tensor.Name);
                json.WriteString("dtype", tensor.Type.Name);
                json.WriteStartArray("shape");
                foreach (long dimension in tensor.Shape)
                {
                    json.WriteNumberValue(dimension);
                }

                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(offset);
                offset += tensor.Count * tensor.Type.Size;
                json.WriteNumberValue(offset);
                json.WriteEndArray();
                json.WriteEndObject();
            }

            json.WriteEndObject();
        }

        // Spaces after the header align the data.
        while (buffer.Length % Alignment != 0)
        {
            buffer.WriteByte((byte)' ');
        }

        byte[] header = buffer.ToArray();
        BinaryPrimitives.WriteUInt64LittleEndian(header, (ulong)(header.Length - sizeof(ulong)));
        return header;
    }

    private static void WriteWhole(Stream stream, ReadOnlySpan<float> values)
    {
        Span<byte> bytes = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, ParameterInfo.JoinCounter(values));
        stream.Write(bytes);
    }

    private static void WriteFloats(Stream stream, ReadOnlySpan<float> values)
    {
        if (BitConverter.IsLittleEndian)
        {
            for (int done = 0; done < values.Length; done += ChunkElements)
            {
                stream.Write(MemoryMarshal.AsBytes(values.Slice(done, Math.Min(ChunkElements, values.Length - done))));
            }

            return;
        }

        Span<byte> bytes = stackalloc byte[sizeof(float)];
        foreach (float value in values)
        {
            BinaryPrimitives.WriteSingleLittleEndian(bytes, value);
            stream.Write(bytes);
        }
    }
}
