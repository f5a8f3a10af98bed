using System.Numerics;

namespace MnistNative.Reference;

/// <summary>What both kinds of pooling have: windows, in row order.</summary>
public abstract class Pool2d<T>(Pair kernel, Pair? stride, Pair padding, bool ceilMode) : Layer<T>
    where T : struct, IBinaryFloatingPointIeee754<T>
{
    private readonly Pair _stride = stride ?? kernel;

    /// <summary>Shape of the result.</summary>
    protected Shape Pooled(Shape src) => new(
        src.N,
        src.C,
        Pooled(src.H, kernel.H, _stride.H, padding.H),
        Pooled(src.W, kernel.W, _stride.W, padding.W));

    /// <summary>The window of an output: its pixels inside the image, and its area with the padding.</summary>
    protected Window WindowAt(Shape src, int oh, int ow)
    {
        (int h, int w) = ((oh * _stride.H) - padding.H, (ow * _stride.W) - padding.W);
        (int hEnd, int wEnd) = (Math.Min(h + kernel.H, src.H + padding.H), Math.Min(w + kernel.W, src.W + padding.W));
        return new Window(
            Math.Max(h, 0), Math.Min(hEnd, src.H), Math.Max(w, 0), Math.Min(wEnd, src.W), (hEnd - h) * (wEnd - w));
    }

    private int Pooled(int size, int kernel, int stride, int padding)
    {
        int pooled = ((size + (2 * padding) - kernel + (ceilMode ? stride - 1 : 0)) / stride) + 1;

        // A window that would start in the padding behind the image is left out.
        return ceilMode && (pooled - 1) * stride >= size + padding ? pooled - 1 : pooled;
    }

    /// <summary>Rows and columns from first to before last.</summary>
    protected readonly record struct Window(int H, int HEnd, int W, int WEnd, int PaddedArea)
    {
        public int Area => (HEnd - H) * (WEnd - W);
    }
}

/// <summary>The largest of each window: a value that is greater than those before it, or not a number.</summary>
public sealed class MaxPool2d<T>(Pair kernel, Pair? stride = null, Pair padding = default, bool ceilMode = false)
    : Pool2d<T>(kernel, stride, padding, ceilMode)
    where T : struct, IBinaryFloatingPointIeee754<T>
{
    private Shape _src;
    private int[] _chosen = [];
    private T _margin;

    public override T Margin => _margin;

    public override Tensor<T> Forward(Tensor<T> src)
    {
        _src = src.Shape;
        var dst = new Tensor<T>(Pooled(src.Shape));
        _chosen = new int[dst.Values.Length];
        _margin = T.PositiveInfinity;
        int at = 0;
        for (int plane = 0; plane < src.Shape.N * src.Shape.C; plane++)
        {
            for (int oh = 0; oh < dst.Shape.H; oh++)
            {
                for (int ow = 0; ow < dst.Shape.W; ow++, at++)
                {
                    Window window = WindowAt(src.Shape, oh, ow);
                    T best = T.NegativeInfinity;
                    for (int h = window.H; h < window.HEnd; h++)
                    {
                        for (int w = window.W; w < window.WEnd; w++)
                        {
                            int index = (((plane * src.Shape.H) + h) * src.Shape.W) + w;
                            T value = src.Values[index];
                            if (value != best)
                            {
                                _margin = T.Min(_margin, T.Abs(value - best));
                            }

                            if (value > best || T.IsNaN(value))
                            {
                                (best, _chosen[at]) = (value, index);
                            }
                        }
                    }

                    dst.Values[at] = best;
                }
            }
        }

        return dst;
    }

    public override Tensor<T> Backward(Tensor<T> diffDst)
    {
        var diffSrc = new Tensor<T>(_src);
        for (int i = 0; i < diffDst.Values.Length; i++)
        {
            diffSrc.Values[_chosen[i]] += diffDst.Values[i];
        }

        return diffSrc;
    }
}

/// <summary>The mean of each window.</summary>
public sealed class AvgPool2d<T>(
    Pair kernel, Pair? stride = null, Pair padding = default, bool ceilMode = false, bool countIncludePad = true)
    : Pool2d<T>(kernel, stride, padding, ceilMode)
    where T : struct, IBinaryFloatingPointIeee754<T>
{
    private Shape _src;

    public override Tensor<T> Forward(Tensor<T> src)
    {
        _src = src.Shape;
        var dst = new Tensor<T>(Pooled(src.Shape));
        ForEach(dst.Shape, (n, c, oh, ow, h, w, divisor) => dst[n, c, oh, ow] += src[n, c, h, w] / divisor);
        return dst;
    }

    public override Tensor<T> Backward(Tensor<T> diffDst)
    {
        var diffSrc = new Tensor<T>(_src);
        ForEach(diffDst.Shape, (n, c, oh, ow, h, w, divisor) => diffSrc[n, c, h, w] += diffDst[n, c, oh, ow] / divisor);
        return diffSrc;
    }

    private void ForEach(Shape dst, Action<int, int, int, int, int, int, T> visit)
    {
        for (int oh = 0; oh < dst.H; oh++)
        {
            for (int ow = 0; ow < dst.W; ow++)
            {
                Window window = WindowAt(_src, oh, ow);
                T divisor = T.CreateChecked(countIncludePad ? window.PaddedArea : window.Area);
                for (int n = 0; n < dst.N; n++)
                {
                    for (int c = 0; c < dst.C; c++)
                    {
                        for (int h = window.H; h < window.HEnd; h++)
                        {
                            for (int w = window.W; w < window.WEnd; w++)
                            {
                                visit(n, c, oh, ow, h, w, divisor);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// <summary>The mean over height and width.</summary>
public sealed class GlobalAvgPool2d<T> : Layer<T>
    where T : struct, IBinaryFloatingPointIeee754<T>
{
    private Shape _src;

    public override Tensor<T> Forward(Tensor<T> src)
    {
        _src = src.Shape;
        var dst = new Tensor<T>(new Shape(_src.N, _src.C, 1, 1));
        for (int i = 0; i < src.Values.Length; i++)
        {
            dst.Values[i / Area] += src.Values[i] / T.CreateChecked(Area);
        }

        return dst;
    }

    public override Tensor<T> Backward(Tensor<T> diffDst)
    {
        var diffSrc = new Tensor<T>(_src);
        for (int i = 0; i < diffSrc.Values.Length; i++)
        {
            diffSrc.Values[i] = diffDst.Values[i / Area] / T.CreateChecked(Area);
        }

        return diffSrc;
    }

    private int Area => _src.H * _src.W;
}
