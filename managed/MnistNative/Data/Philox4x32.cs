using System.Runtime.CompilerServices;

namespace MnistNative;

/// <summary>
/// The counter-based random generator Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy
/// as 1, 2, 3", SC 2011), read as a stream of 32-bit words.
/// </summary>
/// <remarks>
/// A stream is chosen by (seed, purpose, stream number) and depends on nothing else: the key is the seed, and the
/// counter is (block, purpose, low and high word of the stream number). Integer arithmetic only, so that the words are
/// the same on every machine. A mutable struct: pass it by reference.
/// </remarks>
internal struct Philox4x32
{
    private const uint Multiplier0 = 0xD2511F53;
    private const uint Multiplier1 = 0xCD9E8D57;
    private const uint Weyl0 = 0x9E3779B9;
    private const uint Weyl1 = 0xBB67AE85;

    private readonly ulong _key;
    private readonly uint _purpose;
    private readonly ulong _stream;
    private uint _block;
    private int _used;
    private Block _words;

    /// <summary>Opens the stream of the given seed, purpose and number at its first word.</summary>
    public Philox4x32(ulong seed, RandomPurpose purpose, ulong stream)
    {
        _key = seed;
        _purpose = (uint)purpose;
        _stream = stream;
        _block = 0;
        _used = 4;
        _words = default;
    }

    /// <summary>The next 32 random bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint NextUInt32()
    {
        if (_used == 4)
        {
            _words = Generate(new Block(_block++, _purpose, (uint)_stream, (uint)(_stream >> 32)), _key);
            _used = 0;
        }

        return _used++ switch
        {
            0 => _words.X0,
            1 => _words.X1,
            2 => _words.X2,
            _ => _words.X3,
        };
    }

    /// <summary>A number in [0, 1), a multiple of 2^-24.</summary>
    public float NextSingle() => (NextUInt32() >> 8) * (1f / 16777216f);

    /// <summary>A number in [low, high).</summary>
    public float NextSingle(float low, float high) => low + (high - low) * NextSingle();

    /// <summary>
    /// About normal with mean 0 and standard deviation 1: the sum of four uniform numbers, scaled. It needs no
    /// logarithm or cosine, whose last bits differ between platforms, and it never leaves ±3.47.
    /// </summary>
    public float NextNormal() =>
        (NextSingle() + NextSingle() + NextSingle() + NextSingle() - 2f) * 1.7320508f;

    /// <summary>
    /// A number in [0, bound), every one equally likely (Lemire, "Fast random integer generation in an interval", 2019).
    /// </summary>
    public uint NextBelow(uint bound)
    {
        ulong product = (ulong)NextUInt32() * bound;
        if ((uint)product < bound)
        {
            uint threshold = (0u - bound) % bound;
            while ((uint)product < threshold)
            {
                product = (ulong)NextUInt32() * bound;
            }
        }

        return (uint)(product >> 32);
    }

    /// <summary>The bijection itself: ten rounds over one counter.</summary>
    internal static Block Generate(Block counter, ulong key)
    {
        uint k0 = (uint)key;
        uint k1 = (uint)(key >> 32);
        (uint x0, uint x1, uint x2, uint x3) = counter;
        for (int round = 0; round < 10; round++)
        {
            ulong product0 = (ulong)Multiplier0 * x0;
            ulong product1 = (ulong)Multiplier1 * x2;
            (x0, x1, x2, x3) = (
                (uint)(product1 >> 32) ^ x1 ^ k0,
                (uint)product1,
                (uint)(product0 >> 32) ^ x3 ^ k1,
                (uint)product0);
            k0 += Weyl0;
            k1 += Weyl1;
        }

        return new Block(x0, x1, x2, x3);
    }

    /// <summary>Four words: a counter, or the random words made from it.</summary>
    internal readonly record struct Block(uint X0, uint X1, uint X2, uint X3);
}

/// <summary>What random numbers are for; streams of different purposes never meet.</summary>
internal enum RandomPurpose : uint
{
    /// <summary>The order of the images in an epoch; the stream number is the epoch.</summary>
    Shuffle = 0x53485546,

    /// <summary>Which images <see cref="ImageDataset.Split"/> holds back.</summary>
    Split = 0x53504C54,

    /// <summary>The digits of ten consecutive synthetic images; the stream number is the index divided by ten.</summary>
    SyntheticLabels = 0x44494C42,

    /// <summary>One synthetic image; the stream number is its index.</summary>
    SyntheticImage = 0x44494D47,
}
