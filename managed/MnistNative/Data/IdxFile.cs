using System.Buffers.Binary;
using System.IO.Compression;

namespace MnistNative;

/// <summary>
/// Reads files in the IDX format, in which MNIST and data sets like it are distributed: plain or gzip, whichever the
/// content is.
/// </summary>
/// <remarks>
/// The format: two zero bytes, the element type (only 0x08, unsigned byte, is read), the number of dimensions, each
/// dimension as a big-endian 32-bit number, then the elements. Damaged files are refused with an
/// <see cref="InvalidDataException"/> that names the file, what was expected and what was found.
/// </remarks>
public static class IdxFile
{
    private const int FirstAllocation = 1 << 20;

    /// <summary>Reads an image file and the label file that belongs to it.</summary>
    /// <param name="imagesPath">File of images: N×H×W, or N×C×H×W.</param>
    /// <param name="labelsPath">File of labels: N.</param>
    /// <param name="classCount">The number of classes; when null, as many as reach to the largest label.</param>
    /// <param name="firstLabel">
    /// The label of class 0 in the file, which is subtracted from all: 1 for the letters of EMNIST, whose labels are 1 to 26.
    /// </param>
    /// <returns>The data set, its images stored as bytes.</returns>
    /// <exception cref="InvalidDataException">
    /// A file is damaged, the numbers of images and labels differ, or a label is out of range.
    /// </exception>
    /// <exception cref="FileNotFoundException">A file does not exist.</exception>
    public static ImageDataset ReadDataset(string imagesPath, string labelsPath, int? classCount = null, int firstLabel = 0)
    {
        if (classCount is < 1)
        {
            throw new ArgumentOutOfRangeException(
                nameof(classCount), classCount, "The number of classes must be at least 1.");
        }

        ArgumentOutOfRangeException.ThrowIfNegative(firstLabel);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(firstLabel, 255);

        byte[] images = ReadImages(imagesPath, out int count, out ImageShape shape);
        byte[] labels = ReadLabels(labelsPath);
        if (labels.Length != count)
        {
            throw new InvalidDataException(
                $"{imagesPath} holds {count} images, but {labelsPath} holds {labels.Length} labels; the numbers must be equal.");
        }

        int last = (int)Math.Min(firstLabel + (classCount ?? 256L) - 1, 255);
        int wrong = labels.AsSpan().IndexOfAnyExceptInRange((byte)firstLabel, (byte)last);
        if (wrong >= 0)
        {
            bool fromOne = firstLabel == 0 && !labels.AsSpan().ContainsAnyExceptInRange((byte)1, (byte)Math.Min(last + 1, 255));
            throw new InvalidDataException(
                $"{labelsPath}: labels must lie in {firstLabel} to {last}, label {wrong} is {labels[wrong]}."
                + (fromOne ? " All labels begin at 1: pass firstLabel: 1." : ""));
        }

        for (int i = 0; firstLabel > 0 && i < labels.Length; i++)
        {
            labels[i] -= (byte)firstLabel;
        }

        return ImageDataset.FromMemory(images, labels, shape, classCount);
    }

    /// <summary>Reads a file of images.</summary>
    /// <param name="path">The file: three dimensions N×H×W, or four N×C×H×W.</param>
    /// <param name="count">The number of images.</param>
    /// <param name="shape">The shape of each image; one channel when the file has three dimensions.</param>
    /// <returns>The pixels, <c>count * shape.Length</c> bytes.</returns>
    /// <exception cref="InvalidDataException">The file is damaged or holds something else.</exception>
    /// <exception cref="FileNotFoundException">The file does not exist.</exception>
    public static byte[] ReadImages(string path, out int count, out ImageShape shape)
    {
        byte[] pixels = Read(path, "images", 3, 4, out int[] dimensions);
        count = dimensions[0];
        shape = dimensions.Length == 3
            ? new ImageShape(1, dimensions[1], dimensions[2])
            : new ImageShape(dimensions[1], dimensions[2], dimensions[3]);
        return pixels;
    }

    /// <summary>Reads a file of labels.</summary>
    /// <param name="path">The file, of one dimension.</param>
    /// <returns>One label a byte.</returns>
    /// <exception cref="InvalidDataException">The file is damaged or holds something else.</exception>
    /// <exception cref="FileNotFoundException">The file does not exist.</exception>
    public static byte[] ReadLabels(string path) => Read(path, "labels", 1, 1, out _);

    private static byte[] Read(string path, string what, int minRank, int maxRank, out int[] dimensions)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        using FileStream file = File.OpenRead(path);
        try
        {
            using Stream content = Open(file);
            return Read(content, path, what, minRank, maxRank, out dimensions);
        }
        catch (InvalidDataException e) when (!e.Message.StartsWith(path, StringComparison.Ordinal))
        {
            throw new InvalidDataException($"{path}: the gzip data is damaged: {e.Message}", e);
        }
    }

    /// <summary>The content of a file, unpacked when it begins like gzip.</summary>
    internal static Stream Open(FileStream file)
    {
        Span<byte> start = stackalloc byte[2];
        int read = file.ReadAtLeast(start, 2, throwOnEndOfStream: false);
        file.Position = 0;
        return read == 2 && start[0] == 0x1F && start[1] == 0x8B
            ? new GZipStream(file, CompressionMode.Decompress, leaveOpen: true)
            : file;
    }

    private static byte[] Read(
        Stream content, string path, string what, int minRank, int maxRank, out int[] dimensions)
    {
        Span<byte> word = stackalloc byte[4];
        ReadWord(content, word, path, "the magic number");
        uint magic = BinaryPrimitives.ReadUInt32BigEndian(word);
        int rank = word[3];
        if (word[0] != 0 || word[1] != 0 || word[2] != 0x08 || rank < minRank || rank > maxRank)
        {
            string expected = minRank == maxRank
                ? $"0x{0x800 + minRank:X8}"
                : $"0x{0x800 + minRank:X8} or 0x{0x800 + maxRank:X8}";
            throw new InvalidDataException($"{path}: a file of {what} begins with {expected}, this one with 0x{magic:X8}.");
        }

        dimensions = new int[rank];
        long total = 1;
        for (int i = 0; i < rank; i++)
        {
            ReadWord(content, word, path, $"dimension {i}");
            uint size = BinaryPrimitives.ReadUInt32BigEndian(word);
            if (size == 0 || size > int.MaxValue)
            {
                throw new InvalidDataException(
                    $"{path}: every dimension must lie in 1 to {int.MaxValue}, dimension {i} is {size}.");
            }

            dimensions[i] = (int)size;
            total *= size;
            if (total > Array.MaxLength)
            {
                throw new InvalidDataException(
                    $"{path}: the header announces more than {Array.MaxLength} bytes of {what}, which do not fit in one array.");
            }
        }

        return ReadBody(content, (int)total, path, string.Join('×', dimensions));
    }

    private static void ReadWord(Stream content, Span<byte> word, string path, string what)
    {
        int read = content.ReadAtLeast(word, 4, throwOnEndOfStream: false);
        if (read < 4)
        {
            throw new InvalidDataException($"{path}: the file ends inside {what}: expected 4 bytes, got {read}.");
        }
    }

    // The array grows with what really arrives, so that a damaged header does not cost gigabytes.
    private static byte[] ReadBody(Stream content, int total, string path, string shape)
    {
        byte[] body = new byte[Math.Min(total, FirstAllocation)];
        int have = 0;
        while (true)
        {
            have += content.ReadAtLeast(body.AsSpan(have), body.Length - have, throwOnEndOfStream: false);
            if (have < body.Length)
            {
                throw new InvalidDataException(
                    $"{path}: the header announces {shape} = {total} bytes, but the file ends after {have} of them.");
            }

            if (have == total)
            {
                break;
            }

            Array.Resize(ref body, (int)Math.Min(total, 4L * body.Length));
        }

        if (content.ReadByte() >= 0)
        {
            throw new InvalidDataException(
                $"{path}: the header announces {shape} = {total} bytes, but the file has more after them.");
        }

        return body;
    }
}
