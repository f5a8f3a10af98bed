using System.Runtime.CompilerServices;

namespace MnistNative.Interop;

/// <summary>Batches as the native library takes them. The memory must be fixed while one is used.</summary>
internal static unsafe class NativeBatch
{
    /// <summary>Contiguous images of bytes or floats.</summary>
    public static MnBatch Of<T>(T* images, int count, int imageLength, int* labels)
        where T : unmanaged => new()
        {
            StructSize = (uint)sizeof(MnBatch),
            Count = count,
            Dtype = (int)(typeof(T) == typeof(byte) ? MnDtype.Uint8 : MnDtype.Float32),
            Images = images,
            ImagesBytes = (ulong)count * (ulong)imageLength * (ulong)sizeof(T),
            Labels = labels,
        };

    /// <summary>Images of a data set that the device holds.</summary>
    public static MnBatch Of(ulong dataset, int* indices, int count) => new()
    {
        StructSize = (uint)sizeof(MnBatch),
        Count = count,
        Dataset = dataset,
        Indices = indices,
    };

    /// <summary>Number of whole images in a span.</summary>
    /// <exception cref="ArgumentException">It is no whole number.</exception>
    public static int CountImages(int values, ImageShape shape, [CallerArgumentExpression(nameof(values))] string? paramName = null)
    {
        (int count, int rest) = Math.DivRem(values, shape.Length);
        return rest == 0
            ? count
            : throw new ArgumentException($"{values} values are no whole number of images of shape {shape}.", paramName);
    }
}
