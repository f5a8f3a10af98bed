using System.Numerics;

namespace MnistNative.Reference;

/// <summary>y = x·Wᵀ + b; weights are out×in.</summary>
public sealed class Linear<T>(int inFeatures, int outFeatures, bool bias = true) : Layer<T>
    where T : struct, IBinaryFloatingPointIeee754<T>
{
    private readonly Parameter<T> _weight = new(outFeatures * inFeatures);
    private readonly Parameter<T>? _bias = bias ? new(outFeatures) : null;
    private Tensor<T>? _src;

    public override IReadOnlyList<Parameter<T>> Parameters => _bias is null ? [_weight] : [_weight, _bias];

    public override Tensor<T> Forward(Tensor<T> src)
    {
        _src = src;
        var dst = new Tensor<T>(new Shape(src.Shape.N, outFeatures, 1, 1));
        for (int n = 0; n < src.Shape.N; n++)
        {
            ReadOnlySpan<T> x = src.Values.AsSpan(n * inFeatures, inFeatures);
            for (int o = 0; o < outFeatures; o++)
            {
                ReadOnlySpan<T> w = _weight.Value.AsSpan(o * inFeatures, inFeatures);
                T sum = _bias is null ? T.Zero : _bias.Value[o];
                for (int i = 0; i < x.Length; i++)
                {
                    sum += x[i] * w[i];
                }

                dst.Values[(n * outFeatures) + o] = sum;
            }
        }

        return dst;
    }

    public override Tensor<T> Backward(Tensor<T> diffDst)
    {
        var diffSrc = new Tensor<T>(_src!.Shape);
        for (int n = 0; n < diffSrc.Shape.N; n++)
        {
            ReadOnlySpan<T> x = _src.Values.AsSpan(n * inFeatures, inFeatures);
            Span<T> diffX = diffSrc.Values.AsSpan(n * inFeatures, inFeatures);
            for (int o = 0; o < outFeatures; o++)
            {
                T diff = diffDst.Values[(n * outFeatures) + o];
                ReadOnlySpan<T> w = _weight.Value.AsSpan(o * inFeatures, inFeatures);
                Span<T> diffW = _weight.Gradient.AsSpan(o * inFeatures, inFeatures);
                for (int i = 0; i < x.Length; i++)
                {
                    diffX[i] += diff * w[i];
                    diffW[i] += diff * x[i];
                }

                if (_bias is not null)
                {
                    _bias.Gradient[o] += diff;
                }
            }
        }

        return diffSrc;
    }
}
