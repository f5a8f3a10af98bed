using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;

namespace MnistNative.Tests.Files;

/// <summary>Makes safetensors files, right and wrong ones.</summary>
internal static class SafeTensorsBytes
{
    /// <summary>A file with this header text and this many bytes of data.</summary>
    public static byte[] Make(string header, byte[] data, long? headerLength = null)
    {
        byte[] text = Encoding.UTF8.GetBytes(header);
        byte[] file = new byte[8 + text.Length + data.Length];
        BinaryPrimitives.WriteInt64LittleEndian(file, headerLength ?? text.Length);
        text.CopyTo(file, 8);
        data.CopyTo(file, 8 + text.Length);
        return file;
    }

    /// <summary>A file of float32 tensors, as PyTorch writes it: without a network.</summary>
    public static byte[] Make(params (string Name, long[] Shape, float[] Values)[] tensors)
    {
        var header = new StringBuilder("""{"__metadata__":{"format":"pt"}""");
        var data = new List<byte>();
        foreach ((string name, long[] shape, float[] values) in tensors)
        {
            int start = data.Count;
            data.AddRange(MemoryMarshal.AsBytes(values.AsSpan()));
            string dimensions = string.Join(',', shape);
            header.Append($$""","{{name}}":{"dtype":"F32","shape":[{{dimensions}}],"data_offsets":[{{start}},{{data.Count}}]}""");
        }

        return Make(header.Append('}').ToString(), [.. data]);
    }
}
