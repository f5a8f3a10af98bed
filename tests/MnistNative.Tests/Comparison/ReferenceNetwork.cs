using MnistNative.Reference;

namespace MnistNative.Tests.Comparison;

/// <summary>A model's network on the plain C# implementation, in double precision, with the model's parameters.</summary>
internal sealed class ReferenceNetwork
{
    private readonly Normalize<double>? _normalize;
    private readonly Network<double> _network;
    private readonly Shape _image;
    private double _largest;

    public ReferenceNetwork(Model model)
    {
        _image = new Shape(1, model.InputShape.Channels, model.InputShape.Height, model.InputShape.Width);
        var weights = new Queue<ParameterInfo>(model.Parameters.Where(parameter => parameter.Shape.Count > 1));
        var layers = new List<Layer<double>>();
        foreach (Layer layer in model.Network.Layers)
        {
            if (layer is NormalizeLayer normalize)
            {
                _normalize = new Normalize<double>(Widen(normalize.Mean), Widen(normalize.Std));
            }
            else
            {
                layers.Add(Make(layer, weights));
            }
        }

        _network = new Network<double>([.. layers]);
        Parameters = [.. model.Parameters.Zip(_network.Parameters, (info, parameter) => (info.Name, parameter))];
        Assert.Equal(model.Parameters.Count, _network.Parameters.Count);
        foreach ((string name, Parameter<double> parameter) in Parameters)
        {
            Widen(model.GetParameter(name)).CopyTo(parameter.Value, 0);
        }
    }

    public IReadOnlyList<(string Name, Parameter<double> Values)> Parameters { get; }

    /// <summary>
    /// Whether float32 might have chosen other maxima, or other signs at a ReLU, in the last forward pass. Its gradient
    /// may then be another, and neither is wrong.
    /// </summary>
    public bool IsUndecided => _network.Margin < 1e-5 * _largest;

    public Tensor<double> Forward(ReadOnlySpan<float> images)
    {
        var input = new Tensor<double>(_image with { N = images.Length / _image.Length }, Widen(images));
        Tensor<double> output = _network.Forward(_normalize?.Forward(input) ?? input);
        _largest = output.Values.Concat(input.Values).Max(Math.Abs);
        return output;
    }

    /// <summary>Sets the gradients of the parameters and returns that of the normalised images.</summary>
    public float[] Backward(Tensor<double> diffDst) => Narrow(_network.Backward(diffDst).Values);

    public void Step(Optimizer<double> optimizer) => optimizer.Step(_network.Parameters);

    public static double[] Widen(ReadOnlySpan<float> values)
    {
        double[] wide = new double[values.Length];
        for (int i = 0; i < wide.Length; i++)
        {
            wide[i] = values[i];
        }

        return wide;
    }

    public static float[] Narrow(double[] values) => Array.ConvertAll(values, value => (float)value);

    private static Layer<double> Make(Layer layer, Queue<ParameterInfo> weights)
    {
        switch (layer)
        {
            case Conv2dLayer conv:
                return new Conv2d<double>(
                    (int)weights.Dequeue().Shape[1] * conv.Groups,
                    conv.OutChannels,
                    Pair(conv.Kernel),
                    Pair(conv.Stride),
                    Pair(conv.Padding.Size),
                    Pair(conv.Dilation),
                    conv.Groups,
                    conv.Bias);
            case LinearLayer linear:
                return new Linear<double>((int)weights.Dequeue().Shape[1], linear.OutFeatures, linear.Bias);
            case MaxPool2dLayer pool:
                return new MaxPool2d<double>(Pair(pool.Kernel), Pair(pool.Stride), Pair(pool.Padding), pool.CeilMode);
            case AvgPool2dLayer pool:
                return new AvgPool2d<double>(
                    Pair(pool.Kernel), Pair(pool.Stride), Pair(pool.Padding), pool.CeilMode, pool.CountIncludePad);
            case GlobalAvgPool2dLayer:
                return new GlobalAvgPool2d<double>();
            case ReLULayer:
                return new ReLU<double>();
            case FlattenLayer:
                return new Flatten<double>();
            case SoftmaxLayer:
                return new Softmax<double>();
            default:
                throw new NotSupportedException($"The plain implementation has no {layer.Type}.");
        }
    }

    private static Pair Pair(Size2D size) => new(size.Height, size.Width);
}
