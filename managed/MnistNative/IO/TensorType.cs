using System.Buffers.Binary;

namespace MnistNative.IO;

/// <summary>The types of elements that a safetensors file may hold.</summary>
/// <param name="Name">The name in the file's header.</param>
/// <param name="Size">Bytes an element; 0 of a type that this version does not know.</param>
/// <param name="IsFloat">Whether parameters are read from it.</param>
/// <param name="IsWhole">Whether counters are read from it.</param>
internal sealed record TensorType(string Name, int Size, bool IsFloat, bool IsWhole = false)
{
    public static readonly TensorType F32 = new("F32", 4, true);

    public static readonly TensorType I64 = new("I64", 8, false, IsWhole: true);

    private static readonly TensorType s_f64 = new("F64", 8, true);
    private static readonly TensorType s_f16 = new("F16", 2, true);
    private static readonly TensorType s_bf16 = new("BF16", 2, true);

    private static readonly TensorType s_u64 = new("U64", 8, false, IsWhole: true);
    private static readonly TensorType s_i32 = new("I32", 4, false, IsWhole: true);
    private static readonly TensorType s_u32 = new("U32", 4, false, IsWhole: true);
    private static readonly TensorType s_i16 = new("I16", 2, false, IsWhole: true);
    private static readonly TensorType s_u16 = new("U16", 2, false, IsWhole: true);
    private static readonly TensorType s_i8 = new("I8", 1, false, IsWhole: true);
    private static readonly TensorType s_u8 = new("U8", 1, false, IsWhole: true);

    private static readonly TensorType[] s_all =
    [
        F32, s_f64, s_f16, s_bf16,
        I64, s_u64, s_i32, s_u32, s_i16, s_u16, s_i8, s_u8,
        new("BOOL", 1, false), new("F8_E4M3", 1, false), new("F8_E5M2", 1, false),
        new("C64", 8, false),
    ];

    /// <summary>Whether this version knows how large its elements are.</summary>
    public bool IsKnown => Size > 0;

    /// <summary>The type of that name: one that newer files may have where this version does not know it.</summary>
    public static TensorType Find(string name) => Array.Find(s_all, type => type.Name == name) ?? new TensorType(name, 0, false);

    /// <summary>A whole number of any type but the unknown ones; NaN or a fraction where there is none.</summary>
    public double ToNumber(ReadOnlySpan<byte> element) =>
        this == I64 ? BinaryPrimitives.ReadInt64LittleEndian(element)
        : this == s_u64 ? BinaryPrimitives.ReadUInt64LittleEndian(element)
        : this == s_i32 ? BinaryPrimitives.ReadInt32LittleEndian(element)
        : this == s_u32 ? BinaryPrimitives.ReadUInt32LittleEndian(element)
        : this == s_i16 ? BinaryPrimitives.ReadInt16LittleEndian(element)
        : this == s_u16 ? BinaryPrimitives.ReadUInt16LittleEndian(element)
        : this == s_i8 ? (sbyte)element[0]
        : this == s_u8 ? element[0]
        : this == s_f64 ? BinaryPrimitives.ReadDoubleLittleEndian(element)
        : ToFloat(element);

    /// <summary>Converts little-endian elements of a floating-point type to floats.</summary>
    public void ToFloats(ReadOnlySpan<byte> source, Span<float> values)
    {
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = ToFloat(source.Slice(i * Size, Size));
        }
    }

    // bfloat16 is the upper half of a float32.
    private float ToFloat(ReadOnlySpan<byte> element) =>
        this == F32 ? BinaryPrimitives.ReadSingleLittleEndian(element)
        : this == s_f64 ? (float)BinaryPrimitives.ReadDoubleLittleEndian(element)
        : this == s_f16 ? (float)BinaryPrimitives.ReadHalfLittleEndian(element)
        : BitConverter.Int32BitsToSingle(BinaryPrimitives.ReadUInt16LittleEndian(element) << 16);
}
