using System.Numerics;

namespace MnistNative.Reference;

/// <summary>Weights or biases with their gradient, in PyTorch's layout.</summary>
public sealed class Parameter<T>(int length)
    where T : struct, IBinaryFloatingPointIeee754<T>
{
    public T[] Value { get; } = new T[length];

    public T[] Gradient { get; } = new T[length];
}

/// <summary>
/// One layer, written from the textbook: plain loops over every index, no blocking, no vectors. It keeps what its
/// backward pass needs of the last forward pass.
/// </summary>
public abstract class Layer<T>
    where T : struct, IBinaryFloatingPointIeee754<T>
{
    /// <summary>Parameters in PyTorch's order: weight, bias.</summary>
    public virtual IReadOnlyList<Parameter<T>> Parameters => [];

    /// <summary>
    /// How far the last forward pass was from choosing otherwise: the smallest distance of two values that a comparison
    /// told apart, equal ones aside. Other arithmetic that errs by less chooses the same.
    /// </summary>
    public virtual T Margin => T.PositiveInfinity;

    /// <summary>The layer's result.</summary>
    public abstract Tensor<T> Forward(Tensor<T> src);

    /// <summary>
    /// Adds the gradients of the parameters, and returns that of the last source, given that of the last result.
    /// </summary>
    public abstract Tensor<T> Backward(Tensor<T> diffDst);
}
