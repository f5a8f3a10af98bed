using System.Buffers.Binary;

namespace MnistNative.IO;

/// <summary>The types of elements that a safetensors file may hold.</summary>
/// <param name="Name">The name in the file's header.</param>
/// <param name="Size">Bytes an element.</param>
/// <param name="IsFloat">Whether it is a floating-point type.</param>
internal sealed record TensorType(string Name, int Size, bool IsFloat)
{
    public static readonly TensorType F32 = new("F32", 4, true);

    public static readonly TensorType I64 = new("I64", 8, false);

    private static readonly TensorType s_f64 = new("F64", 8, true);
    private static readonly TensorType s_f16 = new("F16", 2, true);
    private static readonly TensorType s_bf16 = new("BF16", 2, true);

    private static readonly TensorType[] s_all =
    [
        F32, s_f64, s_f16, s_bf16,
        I64, new("U64", 8, false), new("I32", 4, false), new("U32", 4, false),
        new("I16", 2, false), new("U16", 2, false), new("I8", 1, false), new("U8", 1, false),
        new("BOOL", 1, false), new("F8_E4M3", 1, false), new("F8_E5M2", 1, false),
        new("C64", 8, false),
    ];

    /// <summary>The type of that name, or null.</summary>
    public static TensorType? Find(string name) => Array.Find(s_all, type => type.Name == name);

    /// <summary>Converts little-endian elements to floats.</summary>
    public void ToFloats(ReadOnlySpan<byte> source, Span<float> values)
    {
        for (int i = 0; i < values.Length; i++)
        {
            ReadOnlySpan<byte> element = source.Slice(i * Size, Size);
            if (this == F32)
            {
                values[i] = BinaryPrimitives.ReadSingleLittleEndian(element);
            }
            else if (this == s_f64)
            {
                values[i] = (float)BinaryPrimitives.ReadDoubleLittleEndian(element);
            }
            else if (this == I64)
            {
                values[i] = BinaryPrimitives.ReadInt64LittleEndian(element);
            }
            else if (this == s_f16)
            {
                values[i] = (float)BinaryPrimitives.ReadHalfLittleEndian(element);
            }
            else
            {
                // bfloat16 is the upper half of a float32.
                values[i] = BitConverter.Int32BitsToSingle(BinaryPrimitives.ReadUInt16LittleEndian(element) << 16);
            }
        }
    }
}
