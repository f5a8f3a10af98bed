using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record BatchNorm2dLayer(float Epsilon, float Momentum, bool Affine, string? Name)
    : Layer(CheckName(Name))
{
    public const string FileKind = "batch_norm2d";

    public override string Kind => FileKind;

    public override string Type => "BatchNorm2d";

    public static Layer Read(LayerReader json) =>
        new BatchNorm2dLayer(json.Float("epsilon"), json.Float("momentum"), json.Bool("affine"), json.Name);

    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        graph.CheckRank(source, Type, name, 3);
        var desc = new MnBatchNormDesc
        {
            StructSize = (uint)sizeof(MnBatchNormDesc),
            Epsilon = Epsilon,
            Momentum = Momentum,
            Affine = Affine ? 1 : 0,
        };
        int node;
        fixed (byte* text = Utf8.ToNative(name))
        {
            Native.Check(NativeMethods.GraphBatchNorm(graph.Value, source, &desc, text, &node));
        }

        return node;
    }

    protected override void WriteParameters(Utf8JsonWriter json)
    {
        json.WriteNumber("epsilon", Epsilon);
        json.WriteNumber("momentum", Momentum);
        json.WriteBoolean("affine", Affine);
    }
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
