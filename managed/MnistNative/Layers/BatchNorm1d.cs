using MnistNative.Interop;

namespace MnistNative;

internal sealed partial record BatchNorm1dLayer
{
    public override void Check(GraphBuilder graph, int source, string? name) => graph.CheckRank(source, Type, name, 1, 2);
}

public sealed partial class Sequential
{
    /// <summary>
    /// Normalises every one of F features, or every channel of C×L sequences, over the batch; see
    /// <see cref="BatchNorm2d"/>. PyTorch: <c>nn.BatchNorm1d(C, eps, momentum, affine)</c>; Keras: <c>BatchNormalization(axis=1)</c>.
    /// </summary>
    /// <param name="epsilon">Added to the variance, not negative.</param>
    /// <param name="momentum">Share of the batch in the running statistics, in [0, 1].</param>
    /// <param name="affine">Whether <c>weight</c> and <c>bias</c> scale and shift the result.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential BatchNorm1d(float epsilon = 1e-5f, float momentum = 0.1f, bool affine = true, string? name = null) =>
        Add(new BatchNorm1dLayer(NotNegative(epsilon), Share(momentum), affine, name));
}
