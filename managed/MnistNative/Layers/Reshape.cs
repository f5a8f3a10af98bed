using MnistNative.Interop;

namespace MnistNative;

internal sealed partial record ReshapeLayer
{
    public override int AddTo(GraphBuilder graph, int source, string? name) =>
        graph.AddReshape(source, [.. Shape.Select(dimension => (long)dimension)], name);
}

public sealed partial class Sequential
{
    /// <summary>
    /// Another shape of as many values, which keep their order: features F, sequences C, L or images C, H, W. PyTorch:
    /// <c>nn.Unflatten</c> or <c>x.reshape(-1, …)</c>; Keras: <c>Reshape</c>.
    /// </summary>
    /// <param name="shape">One to three dimensions, without N.</param>
    /// <returns>The longer network.</returns>
    public Sequential Reshape(params ReadOnlySpan<int> shape) => Reshape(null, shape);

    /// <summary>Another shape of as many values; see <see cref="Reshape(ReadOnlySpan{int})"/>.</summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <param name="shape">One to three dimensions, without N.</param>
    /// <returns>The longer network.</returns>
    public Sequential Reshape(string? name, params ReadOnlySpan<int> shape)
    {
        if (shape.Length is < 1 or > 3)
        {
            throw new ArgumentException($"A shape has one to three dimensions, got {shape.Length}.", nameof(shape));
        }

        foreach (int dimension in shape)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(dimension, 1, nameof(shape));
        }

        return Add(new ReshapeLayer(shape.ToArray(), name));
    }
}
