using System.Numerics;
using System.Numerics.Tensors;

namespace MnistNative.Managed;

/// <summary>
/// Convolution with stride 1, with ReLU fused or without. Forward and data gradient are products that read patches in
/// the padded image; the weight gradient is one over pixels, in a buffer for each chunk of images.
/// </summary>
/// <param name="inChannels">Channels of the source.</param>
/// <param name="height">Height of the source.</param>
/// <param name="width">Width of the source.</param>
/// <param name="outChannels">Channels of the result.</param>
/// <param name="kernel">Height and width of the kernel.</param>
/// <param name="padding">Zeros on each side, below <paramref name="kernel"/>.</param>
/// <param name="relu">Whether ReLU follows.</param>
/// <param name="dataGradient">Whether the gradient of the source is wanted.</param>
public sealed unsafe class Conv2d(
    int inChannels, int height, int width, int outChannels, int kernel, int padding, bool relu, bool dataGradient) : Layer
{
    private const int Chunks = 16;
    private const int RowsInTask = 32;

    private readonly int _dstHeight = height + (2 * padding) - kernel + 1;
    private readonly int _dstWidth = width + (2 * padding) - kernel + 1;
    private readonly int _paddedWidth = width + (2 * padding);
    private readonly int _paddedLength = (height + (2 * padding)) * (width + (2 * padding)) * inChannels;

    // The gradient's padding is that of a convolution which leads back to the source's size.
    private readonly int _diffPadding = kernel - 1 - padding;
    private readonly int _diffWidth = width + kernel - 1;
    private readonly int _diffLength = (height + kernel - 1) * (width + kernel - 1) * outChannels;

    private readonly Parameter _weight = new(
        kernel * kernel * inChannels * outChannels,
        i =>
        {
            (int tapAndChannel, int o) = Math.DivRem(i, outChannels);
            (int tap, int c) = Math.DivRem(tapAndChannel, inChannels);
            return (((o * inChannels) + c) * kernel * kernel) + tap;
        });

    private readonly Parameter _bias = new(outChannels, i => i);
    private nint[]? _pixels;
    private nint[]? _diffPixels;
    private nint[]? _patch;
    private AlignedBuffer? _padded;
    private AlignedBuffer? _dst;
    private AlignedBuffer? _diff;
    private AlignedBuffer? _diffSrc;
    private AlignedBuffer? _turned;
    private AlignedBuffer? _partial;

    public override IReadOnlyList<Parameter> Parameters => [_weight, _bias];

    private int Patch => kernel * kernel * inChannels;

    private int DstLength => _dstHeight * _dstWidth * outChannels;

    public override AlignedBuffer Forward(AlignedBuffer src, int count)
    {
        AlignedBuffer padded = Reserve(ref _padded, count * _paddedLength);
        AlignedBuffer dst = Reserve(ref _dst, count * DstLength);
        _pixels ??= Offsets(_dstHeight, _dstWidth, _paddedWidth * inChannels, inChannels);
        int pixels = _dstHeight * _dstWidth;
        int bands = Bands(count);
        long operations = 2L * count * DstLength * Patch;
        Work.For(count, count * (long)_paddedLength, n => Pad(src, n));
        Work.For(count * bands, operations, task =>
        {
            (int n, int band) = Math.DivRem(task, bands);
            (int start, int length) = Work.Part(pixels, bands, band);
            var product = new Product
            {
                A = padded.Pointer + (n * _paddedLength),
                AStep = 1,
                ASegment = _paddedWidth * inChannels,
                B = _weight.Value.Pointer,
                BStep = outChannels,
                BSegment = kernel * inChannels * outChannels,
                C = dst.Pointer + (n * DstLength),
                CStep = outChannels,
                Segments = kernel,
                Length = kernel * inChannels,
                Bias = _bias.Value.Pointer,
                Relu = relu,
            };
            fixed (nint* rows = _pixels)
            {
                product.Run(rows, start, length, 0, outChannels);
            }
        });
        return dst;
    }

    public override AlignedBuffer? Backward(AlignedBuffer diffDst, int count)
    {
        Reserve(ref _diff, count * _diffLength);
        Work.For(count, count * (long)DstLength, n => PadGradient(diffDst, n));
        WeightGradient(count);
        return dataGradient ? DataGradient(count) : null;
    }

    private void WeightGradient(int count)
    {
        _patch ??= [.. Enumerable.Range(0, kernel).SelectMany(kh => Enumerable
            .Range(0, kernel * inChannels).Select(i => (nint)((kh * _paddedWidth * inChannels) + i)))];
        int chunks = Math.Min(count, Chunks);
        int weights = Patch * outChannels;
        int stride = weights + outChannels;
        AlignedBuffer partial = Reserve(ref _partial, Chunks * stride);
        int blocks = (Patch + RowsInTask - 1) / RowsInTask;
        Work.For(chunks * blocks, 2L * count * DstLength * Patch, task =>
        {
            (int chunk, int block) = Math.DivRem(task, blocks);
            (int first, int images) = Work.Part(count, chunks, chunk);
            (int row, int rowCount) = Work.Part(Patch, blocks, block);
            float* result = partial.Pointer + (chunk * stride);
            for (int n = first; n < first + images; n++)
            {
                var product = new Product
                {
                    A = _padded!.Pointer + (n * _paddedLength),
                    AStep = inChannels,
                    ASegment = _paddedWidth * inChannels,
                    B = Inner(n),
                    BStep = outChannels,
                    BSegment = _diffWidth * outChannels,
                    C = result,
                    CStep = outChannels,
                    Segments = _dstHeight,
                    Length = _dstWidth,
                    Add = n > first,
                };
                fixed (nint* rows = _patch)
                {
                    product.Run(rows, row, rowCount, 0, outChannels);
                }
            }

            if (block == 0)
            {
                BiasGradient(new Span<float>(result + weights, outChannels), first, images);
            }
        });

        const int Piece = 4096;
        Work.For((weights + Piece - 1) / Piece, (long)chunks * weights, piece =>
        {
            int start = piece * Piece;
            Sum(_weight.Gradient.Span.Slice(start, Math.Min(Piece, weights - start)), partial, start, stride, chunks);
        });
        Sum(_bias.Gradient.Span, partial, weights, stride, chunks);
    }

    private static void Sum(Span<float> sum, AlignedBuffer partial, int start, int stride, int chunks)
    {
        partial.Span.Slice(start, sum.Length).CopyTo(sum);
        for (int chunk = 1; chunk < chunks; chunk++)
        {
            TensorPrimitives.Add(sum, partial.Span.Slice((chunk * stride) + start, sum.Length), sum);
        }
    }

    private void BiasGradient(Span<float> sum, int first, int images)
    {
        sum.Clear();
        for (int n = first; n < first + images; n++)
        {
            for (int h = 0; h < _dstHeight; h++)
            {
                float* pixel = Inner(n) + (h * _diffWidth * outChannels);
                for (int w = 0; w < _dstWidth; w++, pixel += outChannels)
                {
                    TensorPrimitives.Add(sum, new ReadOnlySpan<float>(pixel, outChannels), sum);
                }
            }
        }
    }

    private AlignedBuffer DataGradient(int count)
    {
        AlignedBuffer turned = Reserve(ref _turned, _weight.Value.Length);
        for (int tap = 0; tap < kernel * kernel; tap++)
        {
            float* from = _weight.Value.Pointer + (tap * inChannels * outChannels);
            float* to = turned.Pointer + (((kernel * kernel) - 1 - tap) * inChannels * outChannels);
            for (int c = 0; c < inChannels; c++)
            {
                for (int o = 0; o < outChannels; o++)
                {
                    to[(o * inChannels) + c] = from[(c * outChannels) + o];
                }
            }
        }

        int length = height * width * inChannels;
        AlignedBuffer diffSrc = Reserve(ref _diffSrc, count * length);
        _diffPixels ??= Offsets(height, width, _diffWidth * outChannels, outChannels);
        int bands = Bands(count);
        Work.For(count * bands, 2L * count * length * kernel * kernel * outChannels, task =>
        {
            (int n, int band) = Math.DivRem(task, bands);
            (int start, int pixels) = Work.Part(height * width, bands, band);
            var product = new Product
            {
                A = _diff!.Pointer + (n * _diffLength),
                AStep = 1,
                ASegment = _diffWidth * outChannels,
                B = turned.Pointer,
                BStep = inChannels,
                BSegment = kernel * outChannels * inChannels,
                C = diffSrc.Pointer + (n * length),
                CStep = inChannels,
                Segments = kernel,
                Length = kernel * outChannels,
            };
            fixed (nint* rows = _diffPixels)
            {
                product.Run(rows, start, pixels, 0, inChannels);
            }
        });
        return diffSrc;
    }

    private static int Bands(int count) => Math.Max(1, 2 * Environment.ProcessorCount / count);

    private static nint[] Offsets(int rows, int columns, int rowStride, int columnStride) =>
        [.. Enumerable.Range(0, rows * columns).Select(i => (nint)((i / columns * rowStride) + (i % columns * columnStride)))];

    // The gradient of image n's first result, inside the padding.
    private float* Inner(int n) =>
        _diff!.Pointer + (n * _diffLength) + (((_diffPadding * _diffWidth) + _diffPadding) * outChannels);

    private void Pad(AlignedBuffer src, int n)
    {
        int row = width * inChannels;
        for (int h = 0; h < height; h++)
        {
            src.Span.Slice(((n * height) + h) * row, row).CopyTo(
                _padded!.Span.Slice((n * _paddedLength) + ((((h + padding) * _paddedWidth) + padding) * inChannels), row));
        }
    }

    // What ReLU stopped gets no gradient.
    private void PadGradient(AlignedBuffer diffDst, int n)
    {
        int row = _dstWidth * outChannels;
        for (int h = 0; h < _dstHeight; h++)
        {
            int at = (n * DstLength) + (h * row);
            float* from = diffDst.Pointer + at;
            float* result = _dst!.Pointer + at;
            float* to = Inner(n) + (h * _diffWidth * outChannels);
            int i = 0;
            for (; relu && i + Vector<float>.Count <= row; i += Vector<float>.Count)
            {
                Vector.ConditionalSelect(
                    Vector.GreaterThan(Vector.Load(result + i), Vector<float>.Zero),
                    Vector.Load(from + i),
                    Vector<float>.Zero).Store(to + i);
            }

            for (; i < row; i++)
            {
                to[i] = relu && result[i] <= 0 ? 0 : from[i];
            }
        }
    }
}
