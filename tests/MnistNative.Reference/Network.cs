using System.Numerics;

namespace MnistNative.Reference;

/// <summary>Layers that follow one another, and their training.</summary>
public sealed class Network<T>(params Layer<T>[] layers)
    where T : struct, IBinaryFloatingPointIeee754<T>
{
    /// <summary>The parameters in order.</summary>
    public IReadOnlyList<Parameter<T>> Parameters { get; } = [.. layers.SelectMany(layer => layer.Parameters)];

    /// <summary>See <see cref="Layer{T}.Margin"/>.</summary>
    public T Margin => layers.Aggregate(T.PositiveInfinity, (margin, layer) => T.Min(margin, layer.Margin));

    /// <summary>The network that the project is measured on: two convolutions, two linear layers, for 1×28×28 images.</summary>
    public static Network<T> Seed() => new(
        new Conv2d<T>(1, 32, kernel: 3, padding: 1),
        new ReLU<T>(),
        new MaxPool2d<T>(2),
        new Conv2d<T>(32, 64, kernel: 3, padding: 1),
        new ReLU<T>(),
        new MaxPool2d<T>(2),
        new Flatten<T>(),
        new Linear<T>(3136, 128),
        new ReLU<T>(),
        new Linear<T>(128, 10));

    public Tensor<T> Forward(Tensor<T> images) => layers.Aggregate(images, (values, layer) => layer.Forward(values));

    /// <summary>Sets the gradients of the parameters and returns that of the images, given that of the last result.</summary>
    public Tensor<T> Backward(Tensor<T> diffDst)
    {
        foreach (Parameter<T> parameter in Parameters)
        {
            Array.Clear(parameter.Gradient);
        }

        return Enumerable.Reverse(layers).Aggregate(diffDst, (diff, layer) => layer.Backward(diff));
    }

    /// <summary>One training step with mean cross-entropy; returns the loss before it.</summary>
    public T Step(Tensor<T> images, ReadOnlySpan<int> labels, Optimizer<T> optimizer)
    {
        (T loss, Tensor<T> gradient, _) = CrossEntropy.Of(Forward(images), labels);
        Backward(gradient);
        optimizer.Step(Parameters);
        return loss;
    }
}
