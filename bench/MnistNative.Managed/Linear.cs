using System.Numerics;
using System.Numerics.Tensors;

namespace MnistNative.Managed;

/// <summary>
/// y = x·Wᵀ + b, with ReLU fused or without. The weights lie in×out, so that a vector covers neighbouring outputs.
/// </summary>
/// <param name="channels">Channels of the images before flattening, or the features.</param>
/// <param name="pixels">Pixels of the images before flattening, or 1: PyTorch flattens channels first, images lie otherwise here.</param>
/// <param name="outFeatures">Features of the result.</param>
/// <param name="relu">Whether ReLU follows.</param>
/// <param name="dataGradient">Whether the gradient of the source is wanted.</param>
public sealed unsafe class Linear(int channels, int pixels, int outFeatures, bool relu, bool dataGradient) : Layer
{
    private const int RowsInTask = 32;

    private readonly int _inFeatures = channels * pixels;
    private readonly Parameter _weight = new(
        channels * pixels * outFeatures,
        i =>
        {
            (int feature, int o) = Math.DivRem(i, outFeatures);
            (int pixel, int c) = Math.DivRem(feature, channels);
            return (((o * channels) + c) * pixels) + pixel;
        });

    private readonly Parameter _bias = new(outFeatures, i => i);
    private nint[] _srcRows = [];
    private nint[] _dstRows = [];
    private nint[]? _columns;
    private AlignedBuffer? _src;
    private AlignedBuffer? _dst;
    private AlignedBuffer? _diff;
    private AlignedBuffer? _diffSrc;
    private AlignedBuffer? _transposed;

    public override IReadOnlyList<Parameter> Parameters => [_weight, _bias];

    public override AlignedBuffer Forward(AlignedBuffer src, int count)
    {
        _src = src;
        AlignedBuffer dst = Reserve(ref _dst, count * outFeatures);
        if (_srcRows.Length < count)
        {
            _srcRows = [.. Enumerable.Range(0, count).Select(n => (nint)n * _inFeatures)];
            _dstRows = [.. Enumerable.Range(0, count).Select(n => (nint)n * outFeatures)];
        }

        var product = new Product
        {
            A = src.Pointer,
            AStep = 1,
            B = _weight.Value.Pointer,
            BStep = outFeatures,
            C = dst.Pointer,
            CStep = outFeatures,
            Segments = 1,
            Length = _inFeatures,
            Bias = _bias.Value.Pointer,
            Relu = relu,
        };
        Run(product, _srcRows, count, outFeatures);
        return dst;
    }

    public override AlignedBuffer? Backward(AlignedBuffer diffDst, int count)
    {
        AlignedBuffer diff = relu ? Masked(diffDst, count) : diffDst;
        var product = new Product
        {
            A = _src!.Pointer,
            AStep = _inFeatures,
            B = diff.Pointer,
            BStep = outFeatures,
            C = _weight.Gradient.Pointer,
            CStep = outFeatures,
            Segments = 1,
            Length = count,
        };
        Run(product, _columns ??= [.. Enumerable.Range(0, _inFeatures).Select(i => (nint)i)], _inFeatures, outFeatures);

        Span<float> bias = _bias.Gradient.Span;
        bias.Clear();
        for (int n = 0; n < count; n++)
        {
            TensorPrimitives.Add(bias, diff.Span.Slice(n * outFeatures, outFeatures), bias);
        }

        if (!dataGradient)
        {
            return null;
        }

        Transpose();
        AlignedBuffer diffSrc = Reserve(ref _diffSrc, count * _inFeatures);
        Run(
            new Product
            {
                A = diff.Pointer,
                AStep = 1,
                B = _transposed!.Pointer,
                BStep = _inFeatures,
                C = diffSrc.Pointer,
                CStep = _inFeatures,
                Segments = 1,
                Length = outFeatures,
            },
            _dstRows,
            count,
            _inFeatures);
        return diffSrc;
    }

    private static void Run(Product product, nint[] rows, int rowCount, int columnCount)
    {
        int rowBlocks = (rowCount + RowsInTask - 1) / RowsInTask;
        int panels = (columnCount + Product.TileColumns - 1) / Product.TileColumns;
        Work.For(rowBlocks * panels, 2L * rowCount * columnCount * product.Length, task =>
        {
            (int rowBlock, int panel) = Math.DivRem(task, panels);
            int row = rowBlock * RowsInTask;
            int column = panel * Product.TileColumns;
            fixed (nint* offsets = rows)
            {
                product.Run(
                    offsets,
                    row,
                    Math.Min(RowsInTask, rowCount - row),
                    column,
                    Math.Min(Product.TileColumns, columnCount - column));
            }
        });
    }

    private AlignedBuffer Masked(AlignedBuffer diffDst, int count)
    {
        AlignedBuffer diff = Reserve(ref _diff, count * outFeatures);
        int length = count * outFeatures;
        int i = 0;
        for (; i + Vector<float>.Count <= length; i += Vector<float>.Count)
        {
            Vector.ConditionalSelect(
                Vector.GreaterThan(Vector.Load(_dst!.Pointer + i), Vector<float>.Zero),
                Vector.Load(diffDst.Pointer + i),
                Vector<float>.Zero).Store(diff.Pointer + i);
        }

        for (; i < length; i++)
        {
            diff.Span[i] = _dst!.Span[i] <= 0 ? 0 : diffDst.Span[i];
        }

        return diff;
    }

    // Out×in for the data gradient, in squares that stay in the first cache.
    private void Transpose()
    {
        const int Block = 16;
        float* to = Reserve(ref _transposed, _weight.Value.Length).Pointer;
        float* from = _weight.Value.Pointer;
        Work.For((_inFeatures + Block - 1) / Block, _weight.Value.Length, block =>
        {
            int end = Math.Min(_inFeatures, (block + 1) * Block);
            for (int o = 0; o < outFeatures; o++)
            {
                for (int i = block * Block; i < end; i++)
                {
                    to[((nint)o * _inFeatures) + i] = from[((nint)i * outFeatures) + o];
                }
            }
        });
    }
}
