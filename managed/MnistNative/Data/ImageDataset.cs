namespace MnistNative;

/// <summary>
/// Labelled images in memory, as bytes or as floats. Immutable, and safe to use from several threads at once.
/// </summary>
/// <remarks>
/// The images are not copied: the data set refers to the memory that it was made from, which must not be changed
/// while the data set is in use. Labels and targets are copied. <see cref="Take"/> and <see cref="Slice"/> share the images.
/// </remarks>
public sealed class ImageDataset : IImageDataset
{
    private static readonly float[] s_byteToUnit = MakeByteToUnit();

    private readonly ReadOnlyMemory<int> _labels;

    private ImageDataset(
        ReadOnlyMemory<byte> byteImages,
        ReadOnlyMemory<float> floatImages,
        PixelType pixelType,
        ReadOnlyMemory<int> labels,
        ImageShape shape,
        int classCount,
        ReadOnlyMemory<float> targets = default)
    {
        ByteImages = byteImages;
        FloatImages = floatImages;
        PixelType = pixelType;
        _labels = labels;
        Shape = shape;
        ClassCount = classCount;
        Targets = targets;
        TargetLength = targets.Length / labels.Length;
    }

    /// <inheritdoc/>
    public int Count => _labels.Length;

    /// <inheritdoc/>
    public ImageShape Shape { get; }

    /// <inheritdoc/>
    public int ClassCount { get; }

    /// <summary>How the pixels are stored.</summary>
    public PixelType PixelType { get; }

    /// <summary>
    /// The labels, one an image, in 0 … <see cref="ClassCount"/> − 1, but for those that a loss shall ignore.
    /// </summary>
    public ReadOnlyMemory<int> Labels => _labels;

    /// <summary>
    /// Values that losses such as <see cref="Loss.Mse"/> compare the output with, <see cref="TargetLength"/> an image; empty
    /// for a data set of labels.
    /// </summary>
    public ReadOnlyMemory<float> Targets { get; }

    /// <summary>Values to compare an image's output with; 0 for a data set of labels.</summary>
    public int TargetLength { get; }

    /// <summary>All images as N×C×H×W bytes; empty unless <see cref="PixelType"/> is UInt8.</summary>
    internal ReadOnlyMemory<byte> ByteImages { get; }

    /// <summary>All images as N×C×H×W floats; empty unless <see cref="PixelType"/> is Float32.</summary>
    internal ReadOnlyMemory<float> FloatImages { get; }

    /// <summary>Makes a data set of images stored as bytes, which a network sees divided by 255.</summary>
    /// <param name="images">The images one after another (N×C×H×W); referred to, not copied.</param>
    /// <param name="labels">One label an image; copied.</param>
    /// <param name="shape">The shape of one image.</param>
    /// <param name="classCount">The number of classes; when null, the largest label plus one.</param>
    /// <returns>The data set.</returns>
    /// <exception cref="ArgumentException">
    /// The images are empty or no whole number of images, or their number differs from the number of labels.
    /// </exception>
    /// <remarks>
    /// Labels outside 0 … classes − 1 are for losses that ignore them, as <c>Loss.CrossEntropy(ignoreIndex: 255)</c> does.
    /// They are checked where the data set is used: training and evaluation refuse a label that is neither a class nor
    /// ignored. Give <paramref name="classCount"/> where 255 is such a label.
    /// </remarks>
    public static ImageDataset FromMemory(
        ReadOnlyMemory<byte> images, ReadOnlyMemory<byte> labels, ImageShape shape, int? classCount = null) =>
        FromMemory(images, Widen(labels.Span), shape, classCount, copyLabels: false);

    /// <inheritdoc cref="FromMemory(ReadOnlyMemory{byte}, ReadOnlyMemory{byte}, ImageShape, int?)"/>
    public static ImageDataset FromMemory(
        ReadOnlyMemory<byte> images, ReadOnlyMemory<int> labels, ImageShape shape, int? classCount = null) =>
        FromMemory(images, labels, shape, classCount, copyLabels: true);

    /// <summary>Makes a data set of images stored as floats, which a network sees as they are.</summary>
    /// <param name="images">
    /// The images one after another (N×C×H×W), by convention 0 to 1; referred to, not copied.
    /// </param>
    /// <param name="labels">One label an image; copied.</param>
    /// <param name="shape">The shape of one image.</param>
    /// <param name="classCount">The number of classes; when null, the largest label plus one.</param>
    /// <returns>The data set.</returns>
    /// <exception cref="ArgumentException">
    /// The images are empty or no whole number of images, or their number differs from the number of labels.
    /// </exception>
    /// <remarks>
    /// Labels outside 0 … classes − 1 are for losses that ignore them, as <c>Loss.CrossEntropy(ignoreIndex: 255)</c> does.
    /// They are checked where the data set is used: training and evaluation refuse a label that is neither a class nor
    /// ignored. Give <paramref name="classCount"/> where 255 is such a label.
    /// </remarks>
    public static ImageDataset FromMemory(
        ReadOnlyMemory<float> images, ReadOnlyMemory<byte> labels, ImageShape shape, int? classCount = null) =>
        FromMemory(images, Widen(labels.Span), shape, classCount, copyLabels: false);

    /// <inheritdoc cref="FromMemory(ReadOnlyMemory{float}, ReadOnlyMemory{byte}, ImageShape, int?)"/>
    public static ImageDataset FromMemory(
        ReadOnlyMemory<float> images, ReadOnlyMemory<int> labels, ImageShape shape, int? classCount = null) =>
        FromMemory(images, labels, shape, classCount, copyLabels: true);

    /// <summary>
    /// Makes a data set of images stored as bytes and of values to compare the outputs with, for regression and for losses
    /// of values such as <see cref="Loss.Mse"/>. It has one class, and all labels are 0.
    /// </summary>
    /// <param name="images">The images one after another (N×C×H×W); referred to, not copied.</param>
    /// <param name="targets">As many values for each image as the network gives, N×C×H×W or N×F; copied.</param>
    /// <param name="shape">The shape of one image.</param>
    /// <returns>The data set.</returns>
    /// <exception cref="ArgumentException">
    /// The images are empty or no whole number of images, or their number does not divide the number of targets.
    /// </exception>
    public static ImageDataset FromMemory(ReadOnlyMemory<byte> images, ReadOnlyMemory<float> targets, ImageShape shape) =>
        new(images, default, PixelType.UInt8, NoLabels(images.Length, targets.Length, shape), shape, 1, targets.ToArray());

    /// <summary>Makes a data set of images stored as floats and of values to compare the outputs with.</summary>
    /// <inheritdoc cref="FromMemory(ReadOnlyMemory{byte}, ReadOnlyMemory{float}, ImageShape)"/>
    public static ImageDataset FromMemory(ReadOnlyMemory<float> images, ReadOnlyMemory<float> targets, ImageShape shape) =>
        new(default, images, PixelType.Float32, NoLabels(images.Length, targets.Length, shape), shape, 1, targets.ToArray());

    /// <summary>The first <paramref name="count"/> images, sharing the memory of this data set.</summary>
    /// <param name="count">How many, in 1 … <see cref="Count"/>.</param>
    /// <returns>The smaller data set; it has the same <see cref="ClassCount"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The count is out of range.</exception>
    public ImageDataset Take(int count)
    {
        if (count < 1 || count > Count)
        {
            throw new ArgumentOutOfRangeException(
                nameof(count), count, $"The count must lie in 1 to {Count}, the number of images.");
        }

        return Slice(0, count);
    }

    /// <summary>
    /// The <paramref name="count"/> images from <paramref name="start"/> on, sharing the memory of this data set.
    /// </summary>
    /// <param name="start">Index of the first image.</param>
    /// <param name="count">How many images, at least 1.</param>
    /// <returns>The smaller data set; it has the same <see cref="ClassCount"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The range does not lie inside the data set.</exception>
    public ImageDataset Slice(int start, int count)
    {
        if (start < 0 || start >= Count)
        {
            throw new ArgumentOutOfRangeException(
                nameof(start), start, $"The start must lie in 0 to {Count - 1}; there are {Count} images.");
        }

        if (count < 1 || count > Count - start)
        {
            throw new ArgumentOutOfRangeException(
                nameof(count), count, $"The count must lie in 1 to {Count - start}; there are {Count} images and the start is {start}.");
        }

        int length = Shape.Length;
        return new ImageDataset(
            PixelType == PixelType.UInt8 ? ByteImages.Slice(start * length, count * length) : default,
            PixelType == PixelType.Float32 ? FloatImages.Slice(start * length, count * length) : default,
            PixelType,
            _labels.Slice(start, count),
            Shape,
            ClassCount,
            Targets.Slice(start * TargetLength, count * TargetLength));
    }

    /// <summary>A copy of the images at the given indices, in that order.</summary>
    /// <param name="indices">Positions in 0 … <see cref="Count"/> − 1, at least one; one may occur twice.</param>
    /// <returns>The new data set; it has the same <see cref="ClassCount"/>.</returns>
    /// <exception cref="ArgumentException">There is no index.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An index lies outside the data set.</exception>
    public ImageDataset Subset(ReadOnlySpan<int> indices)
    {
        if (indices.IsEmpty)
        {
            throw new ArgumentException("A subset needs at least one index, got none.", nameof(indices));
        }

        CheckIndices(indices);
        int length = Shape.Length;
        if ((long)length * indices.Length > Array.MaxLength)
        {
            throw new ArgumentException(
                $"{indices.Length} images of shape {Shape} do not fit in one array of at most {Array.MaxLength} values.",
                nameof(indices));
        }

        int[] labels = new int[indices.Length];
        ReadOnlySpan<int> from = _labels.Span;
        for (int i = 0; i < indices.Length; i++)
        {
            labels[i] = from[indices[i]];
        }

        float[] targets = Gather(Targets.Span, indices, TargetLength);
        return PixelType == PixelType.UInt8
            ? new ImageDataset(Gather(ByteImages.Span, indices, length), default, PixelType, labels, Shape, ClassCount, targets)
            : new ImageDataset(default, Gather(FloatImages.Span, indices, length), PixelType, labels, Shape, ClassCount, targets);
    }

    /// <summary>Divides the data set into a part to train on and a part to validate with.</summary>
    /// <param name="validationFraction">
    /// The share of the second part, more than 0 and less than 1; each part gets at least one image.
    /// </param>
    /// <param name="seed">
    /// Null takes the last images for validation and copies nothing. A number takes random images, the same for the
    /// same seed, and copies them.
    /// </param>
    /// <returns>The two parts, which have no image in common.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The fraction is not between 0 and 1.</exception>
    /// <exception cref="InvalidOperationException">There is only one image.</exception>
    public (ImageDataset Train, ImageDataset Validation) Split(double validationFraction, ulong? seed = null)
    {
        if (!(validationFraction > 0 && validationFraction < 1))
        {
            throw new ArgumentOutOfRangeException(
                nameof(validationFraction), validationFraction, "The fraction must be more than 0 and less than 1.");
        }

        if (Count < 2)
        {
            throw new InvalidOperationException("A data set of one image cannot be split.");
        }

        int validation = (int)Math.Clamp(Math.Round(validationFraction * Count), 1, Count - 1);
        int train = Count - validation;
        if (seed is null)
        {
            return (Slice(0, train), Slice(train, validation));
        }

        int[] order = new int[Count];
        var random = new Philox4x32(seed.Value, RandomPurpose.Split, 0);
        BatchOrder.Permute(order, ref random);
        return (Subset(order.AsSpan(0, train)), Subset(order.AsSpan(train)));
    }

    /// <summary>
    /// The mean and the standard deviation of each channel, for <c>Normalize</c>. Bytes count as value / 255, and the
    /// deviation is that of the whole population (divided by n). On the MNIST training images: 0.1307 and 0.3081.
    /// </summary>
    /// <returns>Two arrays with one number a channel.</returns>
    public (float[] Mean, float[] Std) ComputeMeanStd()
    {
        float[] mean = new float[Shape.Channels];
        float[] std = new float[Shape.Channels];
        int plane = Shape.Height * Shape.Width;
        for (int channel = 0; channel < Shape.Channels; channel++)
        {
            (double m, double s) = PixelType == PixelType.UInt8
                ? ByteMeanStd(ByteImages.Span, channel * plane, plane, Shape.Length)
                : FloatMeanStd(FloatImages.Span, channel * plane, plane, Shape.Length);
            mean[channel] = (float)m;
            std[channel] = (float)s;
        }

        return (mean, std);
    }

    /// <inheritdoc/>
    /// <remarks>Bytes are divided by 255. The spans may be longer than needed; the rest stays as it is.</remarks>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An index lies outside the data set.</exception>
    public void Read(ReadOnlySpan<int> indices, Span<float> pixels, Span<int> labels)
    {
        CheckIndices(indices);
        int length = Shape.Length;
        if (pixels.Length < (long)length * indices.Length)
        {
            throw new ArgumentException(
                $"{indices.Length} images of shape {Shape} need {(long)length * indices.Length} values, the span has {pixels.Length}.",
                nameof(pixels));
        }

        if (labels.Length < indices.Length)
        {
            throw new ArgumentException(
                $"{indices.Length} images need as many labels, the span has {labels.Length}.", nameof(labels));
        }

        ReadOnlySpan<int> allLabels = _labels.Span;
        for (int i = 0; i < indices.Length; i++)
        {
            int index = indices[i];
            Span<float> to = pixels.Slice(i * length, length);
            labels[i] = allLabels[index];
            if (PixelType == PixelType.Float32)
            {
                FloatImages.Span.Slice(index * length, length).CopyTo(to);
            }
            else
            {
                ReadOnlySpan<byte> from = ByteImages.Span.Slice(index * length, length);
                float[] table = s_byteToUnit;
                for (int k = 0; k < to.Length; k++)
                {
                    to[k] = table[from[k]];
                }
            }
        }
    }

    /// <summary>Throws if a label is neither one of the classes nor ignored.</summary>
    /// <exception cref="ArgumentException">There is such a label; the text names it, its place and the range.</exception>
    internal void CheckLabels(int? ignoreIndex, string? paramName)
    {
        ReadOnlySpan<int> labels = _labels.Span;
        for (int i = 0; i < labels.Length; i++)
        {
            if ((uint)labels[i] >= (uint)ClassCount && labels[i] != ignoreIndex)
            {
                string ignored = ignoreIndex is { } index ? $"or {index}, which the loss ignores" : $"or ignored: a loss with ignoreIndex: {labels[i]} does that";
                throw new ArgumentException(
                    $"Labels must be in 0 to {ClassCount - 1}, {ignored}; label {i} is {labels[i]}.", paramName);
            }
        }
    }

    /// <summary>Copies the targets of the images at the given indices, whose range was checked.</summary>
    internal void ReadTargets(ReadOnlySpan<int> indices, Span<float> targets)
    {
        for (int i = 0; i < indices.Length; i++)
        {
            Targets.Span.Slice(indices[i] * TargetLength, TargetLength).CopyTo(targets[(i * TargetLength)..]);
        }
    }

    /// <summary>A copy of one image as C×H×W floats; bytes are divided by 255.</summary>
    /// <param name="index">Position in 0 … <see cref="Count"/> − 1.</param>
    /// <returns>A new array of <c>Shape.Length</c> values.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The index lies outside the data set.</exception>
    public float[] GetImage(int index)
    {
        float[] pixels = new float[Shape.Length];
        int label = 0;
        Read(new ReadOnlySpan<int>(in index), pixels, new Span<int>(ref label));
        return pixels;
    }

    /// <summary>For example <c>60000 images 1×28×28 (UInt8), 10 classes</c>.</summary>
    public override string ToString() => $"{Count} images {Shape} ({PixelType}), {ClassCount} classes";

    private static ImageDataset FromMemory(
        ReadOnlyMemory<byte> images, ReadOnlyMemory<int> labels, ImageShape shape, int? classCount, bool copyLabels)
    {
        int classes = Check(images.Length, labels.Span, shape, classCount);
        return new ImageDataset(images, default, PixelType.UInt8, copyLabels ? labels.ToArray() : labels, shape, classes);
    }

    private static ImageDataset FromMemory(
        ReadOnlyMemory<float> images, ReadOnlyMemory<int> labels, ImageShape shape, int? classCount, bool copyLabels)
    {
        int classes = Check(images.Length, labels.Span, shape, classCount);
        return new ImageDataset(default, images, PixelType.Float32, copyLabels ? labels.ToArray() : labels, shape, classes);
    }

    /// <summary>Checks what the factory methods take and returns the number of classes.</summary>
    private static int Check(int values, ReadOnlySpan<int> labels, ImageShape shape, int? classCount)
    {
        shape.Validate(nameof(shape));
        int length = shape.Length;
        if (values == 0)
        {
            throw new ArgumentException("A data set needs at least one image, the memory is empty.", "images");
        }

        if (values % length != 0)
        {
            throw new ArgumentException(
                $"Images of shape {shape} have {length} values each; {values} values are no whole number of images.",
                "images");
        }

        if (values / length != labels.Length)
        {
            throw new ArgumentException(
                $"There are {values / length} images of shape {shape} and {labels.Length} labels; the numbers must be equal.",
                nameof(labels));
        }

        if (classCount is < 1)
        {
            throw new ArgumentOutOfRangeException(
                nameof(classCount), classCount, "The number of classes must be at least 1.");
        }

        int largest = 0;
        foreach (int label in labels)
        {
            largest = Math.Max(largest, label);
        }

        return classCount ?? (int)Math.Min(largest + 1L, int.MaxValue);
    }

    private void CheckIndices(ReadOnlySpan<int> indices)
    {
        for (int i = 0; i < indices.Length; i++)
        {
            if ((uint)indices[i] >= (uint)Count)
            {
                throw new ArgumentOutOfRangeException(
                    nameof(indices), indices[i], $"Index number {i} must lie in 0 to {Count - 1}; there are {Count} images.");
            }
        }
    }

    private static int[] NoLabels(int values, int targets, ImageShape shape)
    {
        shape.Validate(nameof(shape));
        int[] labels = new int[values / shape.Length];
        Check(values, labels, shape, classCount: 1);
        if (targets == 0 || targets % labels.Length != 0)
        {
            throw new ArgumentException(
                $"There are {labels.Length} images and {targets} target values; each image needs as many, at least one.", nameof(targets));
        }

        return labels;
    }

    private static int[] Widen(ReadOnlySpan<byte> labels)
    {
        int[] wide = new int[labels.Length];
        for (int i = 0; i < wide.Length; i++)
        {
            wide[i] = labels[i];
        }

        return wide;
    }

    private static T[] Gather<T>(ReadOnlySpan<T> images, ReadOnlySpan<int> indices, int length)
    {
        T[] copy = new T[indices.Length * length];
        for (int i = 0; i < indices.Length; i++)
        {
            images.Slice(indices[i] * length, length).CopyTo(copy.AsSpan(i * length, length));
        }

        return copy;
    }

    // Sums of bytes and of their squares are exact in integers, so the result does not depend on any order.
    private static (double Mean, double Std) ByteMeanStd(ReadOnlySpan<byte> images, int offset, int plane, int stride)
    {
        ulong sum = 0;
        ulong squares = 0;
        ulong count = 0;
        for (int start = offset; start < images.Length; start += stride)
        {
            foreach (byte value in images.Slice(start, plane))
            {
                sum += value;
                squares += (uint)value * value;
            }

            count += (ulong)plane;
        }

        UInt128 spread = (UInt128)squares * count - (UInt128)sum * sum;
        return (sum / (255.0 * count), Math.Sqrt((double)spread) / (255.0 * count));
    }

    private static (double Mean, double Std) FloatMeanStd(ReadOnlySpan<float> images, int offset, int plane, int stride)
    {
        double sum = 0;
        long count = 0;
        for (int start = offset; start < images.Length; start += stride)
        {
            foreach (float value in images.Slice(start, plane))
            {
                sum += value;
            }

            count += plane;
        }

        double mean = sum / count;
        double squares = 0;
        for (int start = offset; start < images.Length; start += stride)
        {
            foreach (float value in images.Slice(start, plane))
            {
                squares += (value - mean) * (value - mean);
            }
        }

        return (mean, Math.Sqrt(squares / count));
    }

    private static float[] MakeByteToUnit()
    {
        float[] table = new float[256];
        for (int i = 0; i < table.Length; i++)
        {
            table[i] = i / 255f;
        }

        return table;
    }
}
