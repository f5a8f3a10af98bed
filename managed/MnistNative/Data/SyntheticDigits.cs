using System.Threading.Tasks;

namespace MnistNative;

/// <summary>
/// Hand-written-like digits that are drawn, not stored: a data set like MNIST that needs no file and no network.
/// </summary>
/// <remarks>
/// Each digit is drawn with strokes of several writing styles (a 4 open or closed, a 7 with or without bar, …) with
/// random slant, rotation, proportions, wobble, pen width and softness, then fitted into a box of 20×20 pixels and
/// centred by its mass in 28×28, as the MNIST images are. An image depends on the seed and its index alone: it is the
/// same on every machine and with any number of threads.
/// </remarks>
public static class SyntheticDigits
{
    /// <summary>The number of training images of <see cref="Load"/>.</summary>
    public const int TrainCount = 60_000;

    /// <summary>The number of test images of <see cref="Load"/>.</summary>
    public const int TestCount = 10_000;

    /// <summary>The shape of the images: 1×28×28.</summary>
    public static ImageShape Shape => new(1, DigitPainter.Size, DigitPainter.Size);

    /// <summary>Draws images 0 … <paramref name="count"/> − 1 of the given seed, ten classes in equal shares.</summary>
    /// <param name="count">How many images, at least 1.</param>
    /// <param name="seed">Images of different seeds are unrelated.</param>
    /// <returns>The images as bytes. A larger count continues a smaller one of the same seed.</returns>
    /// <exception cref="ArgumentOutOfRangeException">
    /// The count is less than 1, or the images do not fit in one array.
    /// </exception>
    public static ImageDataset Generate(int count, ulong seed = 0)
    {
        int length = Shape.Length;
        if (count < 1 || count > Array.MaxLength / length)
        {
            throw new ArgumentOutOfRangeException(
                nameof(count), count, $"The count must lie in 1 to {Array.MaxLength / length}.");
        }

        byte[] images = new byte[count * length];
        int[] labels = new int[count];
        const int Chunk = 256;
        Parallel.For(
            0,
            (count + Chunk - 1) / Chunk,
            () => new DigitPainter(),
            (chunk, _, painter) =>
            {
                int end = Math.Min(count, (chunk + 1) * Chunk);
                for (int i = chunk * Chunk; i < end; i++)
                {
                    labels[i] = Label(seed, i);
                    painter.Paint(labels[i], seed, i, images.AsSpan(i * length, length));
                }

                return painter;
            },
            static _ => { });
        return ImageDataset.FromMemory(images, labels, Shape, classCount: 10);
    }

    /// <summary>
    /// A data set of the size of MNIST: images 0 … 59,999 of the seed to train on, and the 10,000 that follow to test.
    /// </summary>
    /// <param name="seed">Images of different seeds are unrelated.</param>
    /// <returns>Both parts.</returns>
    public static MnistData Load(ulong seed = 0)
    {
        ImageDataset all = Generate(TrainCount + TestCount, seed);
        return new MnistData(all.Take(TrainCount), all.Slice(TrainCount, TestCount));
    }

    // Every ten consecutive images show each digit once, in random order.
    private static int Label(ulong seed, int index)
    {
        Span<int> digits = stackalloc int[10];
        var random = new Philox4x32(seed, RandomPurpose.SyntheticLabels, (ulong)(index / 10));
        BatchOrder.Permute(digits, ref random);
        return digits[index % 10];
    }
}
