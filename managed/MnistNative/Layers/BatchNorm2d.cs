using MnistNative.Interop;

namespace MnistNative;

internal sealed partial record BatchNorm2dLayer
{
    public override void Check(GraphBuilder graph, int source, string? name) => graph.CheckRank(source, Type, name, 3);
}

public sealed partial class Sequential
{
    /// <summary>
    /// Normalises every channel of C×H×W images over the batch. Training uses the batch's mean and biased variance
    /// and moves the running statistics, running = (1 − momentum) · running + momentum · batch, with the unbiased variance;
    /// without training the running statistics are used. Parameters: <c>weight</c> and <c>bias</c> of C,
    /// <c>running_mean</c>, <c>running_var</c>, <c>num_batches_tracked</c>. PyTorch:
    /// <c>nn.BatchNorm2d(C, eps, momentum, affine)</c>; Keras: <c>BatchNormalization(axis=1)</c>, whose momentum is 1 − momentum.
    /// </summary>
    /// <param name="epsilon">Added to the variance, not negative.</param>
    /// <param name="momentum">Share of the batch in the running statistics, in [0, 1].</param>
    /// <param name="affine">Whether <c>weight</c> and <c>bias</c> scale and shift the result.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential BatchNorm2d(float epsilon = 1e-5f, float momentum = 0.1f, bool affine = true, string? name = null) =>
        Add(new BatchNorm2dLayer(NotNegative(epsilon), Share(momentum), affine, name));
}
