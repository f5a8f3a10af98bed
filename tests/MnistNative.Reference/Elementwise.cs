using System.Numerics;

namespace MnistNative.Reference;

/// <summary>(x − mean) / std, channel by channel; one number stands for all channels.</summary>
public sealed class Normalize<T>(T[] mean, T[] std) : Layer<T>
    where T : struct, IBinaryFloatingPointIeee754<T>
{
    public override Tensor<T> Forward(Tensor<T> src) => Map(src, (value, c) => (value - mean[c % mean.Length]) / std[c % std.Length]);

    public override Tensor<T> Backward(Tensor<T> diffDst) => Map(diffDst, (value, c) => value / std[c % std.Length]);

    private static Tensor<T> Map(Tensor<T> src, Func<T, int, T> function)
    {
        var dst = new Tensor<T>(src.Shape);
        int area = src.Shape.H * src.Shape.W;
        for (int i = 0; i < src.Values.Length; i++)
        {
            dst.Values[i] = function(src.Values[i], i / area % src.Shape.C);
        }

        return dst;
    }
}

/// <summary>x &lt; 0 ? 0 : x; a NaN stays a NaN, and the gradient passes unless the result is at most 0.</summary>
public sealed class ReLU<T> : Layer<T>
    where T : struct, IBinaryFloatingPointIeee754<T>
{
    private Tensor<T>? _dst;
    private T _margin;

    public override T Margin => _margin;

    public override Tensor<T> Forward(Tensor<T> src)
    {
        _dst = new Tensor<T>(src.Shape);
        _margin = T.PositiveInfinity;
        for (int i = 0; i < src.Values.Length; i++)
        {
            T value = src.Values[i];
            _dst.Values[i] = value < T.Zero ? T.Zero : value;
            if (value != T.Zero)
            {
                _margin = T.Min(_margin, T.Abs(value));
            }
        }

        return _dst;
    }

    public override Tensor<T> Backward(Tensor<T> diffDst)
    {
        var diffSrc = new Tensor<T>(diffDst.Shape);
        for (int i = 0; i < diffDst.Values.Length; i++)
        {
            diffSrc.Values[i] = _dst!.Values[i] <= T.Zero ? T.Zero : diffDst.Values[i];
        }

        return diffSrc;
    }
}

/// <summary>C×H×W to C·H·W features.</summary>
public sealed class Flatten<T> : Layer<T>
    where T : struct, IBinaryFloatingPointIeee754<T>
{
    private Shape _src;

    public override Tensor<T> Forward(Tensor<T> src)
    {
        _src = src.Shape;
        return src.As(new Shape(_src.N, _src.ImageLength, 1, 1));
    }

    public override Tensor<T> Backward(Tensor<T> diffDst) => diffDst.As(_src);
}

/// <summary>exp(x) / Σ exp(x) over the features.</summary>
public sealed class Softmax<T> : Layer<T>
    where T : struct, IBinaryFloatingPointIeee754<T>
{
    private Tensor<T>? _dst;

    public override Tensor<T> Forward(Tensor<T> src)
    {
        _dst = new Tensor<T>(src.Shape);
        for (int n = 0; n < src.Shape.N; n++)
        {
            Row(src, n).CopyTo(Row(_dst, n));
            Apply(Row(_dst, n));
        }

        return _dst;
    }

    public override Tensor<T> Backward(Tensor<T> diffDst)
    {
        var diffSrc = new Tensor<T>(diffDst.Shape);
        for (int n = 0; n < diffDst.Shape.N; n++)
        {
            Span<T> y = Row(_dst!, n);
            Span<T> diffY = Row(diffDst, n);
            Span<T> diffX = Row(diffSrc, n);
            T product = T.Zero;
            for (int i = 0; i < y.Length; i++)
            {
                product += y[i] * diffY[i];
            }

            for (int i = 0; i < y.Length; i++)
            {
                diffX[i] = y[i] * (diffY[i] - product);
            }
        }

        return diffSrc;
    }

    /// <summary>Replaces scores by probabilities and returns log Σ exp(score).</summary>
    internal static T Apply(Span<T> scores)
    {
        T largest = scores[0];
        foreach (T score in scores)
        {
            largest = T.Max(largest, score);
        }

        T sum = T.Zero;
        foreach (ref T score in scores)
        {
            score = T.Exp(score - largest);
            sum += score;
        }

        foreach (ref T score in scores)
        {
            score /= sum;
        }

        return largest + T.Log(sum);
    }

    internal static Span<T> Row(Tensor<T> tensor, int n) =>
        tensor.Values.AsSpan(n * tensor.Shape.ImageLength, tensor.Shape.ImageLength);
}
