namespace MnistNative.Managed;

/// <summary>Floats that begin at a cache line and stay where they are, so that a vector never spans two lines.</summary>
public sealed unsafe class AlignedBuffer
{
    private const int LineFloats = 16;

    // Keeps the memory alive.
    private readonly float[] _memory;

    /// <summary>Allocates zeros.</summary>
    public AlignedBuffer(int length)
    {
        Length = length;
        _memory = GC.AllocateArray<float>(length + LineFloats - 1, pinned: true);
        fixed (float* start = _memory)
        {
            const nuint LineBytes = LineFloats * sizeof(float);
            Pointer = (float*)(((nuint)start + LineBytes - 1) & ~(LineBytes - 1));
        }
    }

    /// <summary>Number of floats.</summary>
    public int Length { get; }

    /// <summary>The floats.</summary>
    public Span<float> Span => new(Pointer, Length);

    /// <summary>Address of the first; valid while the buffer is reachable.</summary>
    internal float* Pointer { get; }
}
