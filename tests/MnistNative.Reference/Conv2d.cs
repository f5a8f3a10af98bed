using System.Numerics;

namespace MnistNative.Reference;

/// <summary>A pair of numbers, for height and width.</summary>
public readonly record struct Pair(int H, int W)
{
    public static implicit operator Pair(int both) => new(both, both);
}

/// <summary>Convolution (cross-correlation) of images; weights are O×(C/groups)×kernel height×kernel width.</summary>
public sealed class Conv2d<T>(
    int inChannels, int outChannels, Pair kernel, Pair? stride = null, Pair padding = default, Pair? dilation = null, int groups = 1, bool bias = true)
    : Layer<T>
    where T : struct, IBinaryFloatingPointIeee754<T>
{
    private readonly Pair _stride = stride ?? 1;
    private readonly Pair _dilation = dilation ?? 1;
    private readonly Parameter<T> _weight = new(outChannels * (inChannels / groups) * kernel.H * kernel.W);
    private readonly Parameter<T>? _bias = bias ? new(outChannels) : null;
    private Tensor<T>? _src;

    public override IReadOnlyList<Parameter<T>> Parameters => _bias is null ? [_weight] : [_weight, _bias];

    public override Tensor<T> Forward(Tensor<T> src)
    {
        _src = src;
        var dst = new Tensor<T>(new Shape(
            src.Shape.N,
            outChannels,
            ((src.Shape.H + (2 * padding.H) - (_dilation.H * (kernel.H - 1)) - 1) / _stride.H) + 1,
            ((src.Shape.W + (2 * padding.W) - (_dilation.W * (kernel.W - 1)) - 1) / _stride.W) + 1));
        if (_bias is not null)
        {
            for (int i = 0; i < dst.Values.Length; i++)
            {
                dst.Values[i] = _bias.Value[i / (dst.Shape.H * dst.Shape.W) % outChannels];
            }
        }

        var sum = new Sum(dst, src, _weight.Value);
        ForEachProduct(dst.Shape, ref sum);
        return dst;
    }

    public override Tensor<T> Backward(Tensor<T> diffDst)
    {
        if (_bias is not null)
        {
            for (int i = 0; i < diffDst.Values.Length; i++)
            {
                _bias.Gradient[i / (diffDst.Shape.H * diffDst.Shape.W) % outChannels] += diffDst.Values[i];
            }
        }

        var gradients = new Gradients(diffDst, _src!, new Tensor<T>(_src!.Shape), _weight);
        ForEachProduct(diffDst.Shape, ref gradients);
        return gradients.DiffSrc;
    }

    /// <summary>What is done with each product dst += src × weight; a struct, so that the call costs nothing.</summary>
    private interface IProduct
    {
        void Visit(int dst, int src, int weight);
    }

    private readonly struct Sum(Tensor<T> dst, Tensor<T> src, T[] weight) : IProduct
    {
        public void Visit(int d, int s, int w) => dst.Values[d] += src.Values[s] * weight[w];
    }

    private readonly struct Gradients(Tensor<T> diffDst, Tensor<T> src, Tensor<T> diffSrc, Parameter<T> weight) : IProduct
    {
        public Tensor<T> DiffSrc => diffSrc;

        public void Visit(int d, int s, int w)
        {
            diffSrc.Values[s] += diffDst.Values[d] * weight.Value[w];
            weight.Gradient[w] += diffDst.Values[d] * src.Values[s];
        }
    }

    private void ForEachProduct<TProduct>(Shape dst, ref TProduct product)
        where TProduct : struct, IProduct
    {
        (int height, int width) = (_src!.Shape.H, _src.Shape.W);
        int inGroup = inChannels / groups;
        int outGroup = outChannels / groups;
        int d = 0;
        for (int n = 0; n < dst.N; n++)
        {
            for (int o = 0; o < outChannels; o++)
            {
                for (int oh = 0; oh < dst.H; oh++)
                {
                    for (int ow = 0; ow < dst.W; ow++, d++)
                    {
                        int weight = o * inGroup * kernel.H * kernel.W;
                        for (int i = 0; i < inGroup; i++)
                        {
                            int channel = (o / outGroup * inGroup) + i;
                            for (int kh = 0; kh < kernel.H; kh++)
                            {
                                int h = (oh * _stride.H) - padding.H + (kh * _dilation.H);
                                for (int kw = 0; kw < kernel.W; kw++, weight++)
                                {
                                    int w = (ow * _stride.W) - padding.W + (kw * _dilation.W);
                                    if (h >= 0 && h < height && w >= 0 && w < width)
                                    {
                                        product.Visit(d, (((((n * inChannels) + channel) * height) + h) * width) + w, weight);
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
