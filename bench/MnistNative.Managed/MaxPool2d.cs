using System.Numerics;

namespace MnistNative.Managed;

/// <summary>The largest of each window; windows lie side by side, and the first of equals gets the gradient.</summary>
/// <param name="channels">Channels of the source.</param>
/// <param name="height">Height of the source.</param>
/// <param name="width">Width of the source.</param>
/// <param name="kernel">Height and width of a window.</param>
public sealed unsafe class MaxPool2d(int channels, int height, int width, int kernel) : Layer
{
    private readonly int _dstHeight = height / kernel;
    private readonly int _dstWidth = width / kernel;
    private AlignedBuffer? _src;
    private AlignedBuffer? _dst;
    private AlignedBuffer? _diffSrc;

    private int SrcLength => height * width * channels;

    private int DstLength => _dstHeight * _dstWidth * channels;

    public override AlignedBuffer Forward(AlignedBuffer src, int count)
    {
        _src = src;
        AlignedBuffer dst = Reserve(ref _dst, count * DstLength);
        Work.For(count * _dstHeight, (long)count * SrcLength, row =>
        {
            float* window = Window(src, row);
            float* to = dst.Pointer + (row * _dstWidth * channels);
            for (int w = 0; w < _dstWidth; w++, window += kernel * channels, to += channels)
            {
                int c = 0;
                for (; c + Vector<float>.Count <= channels; c += Vector<float>.Count)
                {
                    Vector<float> best = Vector.Load(window + c);
                    for (int i = 1; i < kernel * kernel; i++)
                    {
                        best = Vector.Max(best, Vector.Load(window + Pixel(i) + c));
                    }

                    best.Store(to + c);
                }

                for (; c < channels; c++)
                {
                    to[c] = window[c];
                    for (int i = 1; i < kernel * kernel; i++)
                    {
                        to[c] = MathF.Max(to[c], window[Pixel(i) + c]);
                    }
                }
            }
        });
        return dst;
    }

    public override AlignedBuffer Backward(AlignedBuffer diffDst, int count)
    {
        // Pixels that belong to no window stay zero.
        AlignedBuffer diffSrc = Reserve(ref _diffSrc, count * SrcLength);
        Work.For(count * _dstHeight, (long)count * SrcLength, row =>
        {
            float* window = Window(_src!, row);
            float* to = Window(diffSrc, row);
            float* best = _dst!.Pointer + (row * _dstWidth * channels);
            float* from = diffDst.Pointer + (row * _dstWidth * channels);
            for (int w = 0; w < _dstWidth; w++)
            {
                int c = 0;
                for (; c + Vector<float>.Count <= channels; c += Vector<float>.Count)
                {
                    Vector<float> largest = Vector.Load(best + c);
                    Vector<float> gradient = Vector.Load(from + c);
                    for (int i = 0; i < kernel * kernel; i++)
                    {
                        var chosen = Vector.Equals(Vector.Load(window + Pixel(i) + c), largest);
                        Vector.ConditionalSelect(chosen, gradient, Vector<float>.Zero).Store(to + Pixel(i) + c);
                        gradient = Vector.ConditionalSelect(chosen, Vector<float>.Zero, gradient);
                    }
                }

                for (; c < channels; c++)
                {
                    float gradient = from[c];
                    for (int i = 0; i < kernel * kernel; i++)
                    {
                        bool chosen = window[Pixel(i) + c] == best[c];
                        to[Pixel(i) + c] = chosen ? gradient : 0;
                        gradient = chosen ? 0 : gradient;
                    }
                }

                window += kernel * channels;
                to += kernel * channels;
                best += channels;
                from += channels;
            }
        });
        return diffSrc;
    }

    // Where the windows of a row of results begin.
    private float* Window(AlignedBuffer images, int row)
    {
        (int n, int h) = Math.DivRem(row, _dstHeight);
        return images.Pointer + (n * SrcLength) + (h * kernel * width * channels);
    }

    // Offset of a window's pixel, in row order.
    private int Pixel(int i) => ((i / kernel * width) + (i % kernel)) * channels;
}
