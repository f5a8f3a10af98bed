namespace MnistNative.Interop;

/// <summary>Shapes without N, to and from the native struct.</summary>
internal static unsafe class NativeShape
{
    public static MnShape From(ImageShape shape)
    {
        var native = new MnShape { Rank = 3 };
        native.Dims[0] = shape.Channels;
        native.Dims[1] = shape.Height;
        native.Dims[2] = shape.Width;
        return native;
    }

    /// <exception cref="ArgumentException">There are more dimensions than the native struct holds, or none.</exception>
    public static MnShape From(ReadOnlySpan<long> dimensions)
    {
        if (dimensions.Length is < 1 or > NativeConstants.MaxRank)
        {
            throw new ArgumentException($"A shape has 1 to {NativeConstants.MaxRank} dimensions, got {dimensions.Length}.", nameof(dimensions));
        }

        var native = new MnShape { Rank = dimensions.Length };
        for (int i = 0; i < dimensions.Length; i++)
        {
            native.Dims[i] = dimensions[i];
        }

        return native;
    }

    public static long[] ToArray(in MnShape shape)
    {
        long[] dimensions = new long[shape.Rank];
        for (int i = 0; i < dimensions.Length; i++)
        {
            dimensions[i] = shape.Dims[i];
        }

        return dimensions;
    }

    /// <summary>For example <c>32×28×28</c>, and <c>[]</c> for a scalar.</summary>
    public static string ToText(IReadOnlyList<long> shape) => shape.Count == 0 ? "[]" : string.Join('×', shape);
}
