using MnistNative.Interop;

namespace MnistNative;

internal sealed partial record MaxUnpool2dLayer
{
    public override int AddTo(GraphBuilder graph, int source, string? name) =>
        graph.Add(MnOp.MaxUnpool2d, name, source, graph.FindPool(Pool));
}

public sealed partial class Sequential
{
    /// <summary>
    /// The reverse of an earlier max pooling: each value goes where the maximum of its window stood, the rest is 0; the
    /// result has the shape of what was pooled. PyTorch: <c>nn.MaxUnpool2d</c> with the pooling's indices; Keras has none.
    /// </summary>
    /// <param name="pool">
    /// Name of the <see cref="MaxPool2d"/> layer, looked for in this block and then in those around it.
    /// </param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential MaxUnpool2d(string pool, string? name = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(pool);
        return Add(new MaxUnpool2dLayer(pool, name));
    }
}
