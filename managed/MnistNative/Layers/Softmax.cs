using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record SoftmaxLayer(string? Name) : Layer(CheckName(Name))
{
    public const string FileKind = "softmax";

    public override string Kind => FileKind;

    public override string Type => "Softmax";

    public override bool EndsInSoftmax => true;

    public static Layer Read(LayerReader json) => new SoftmaxLayer(json.Name);

    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        int node;
        fixed (byte* text = Utf8.ToNative(name))
        {
            Native.Check(NativeMethods.GraphSoftmax(graph.Value, source, text, &node));
        }

        return node;
    }
}

public sealed partial class Sequential
{
    /// <summary>
    /// Probabilities of raw scores, exp(x) / Σ exp(x). Leave it out of a network that is to be trained with
    /// <see cref="Loss.CrossEntropy"/>, which contains it: such training is refused.
    /// <see cref="Model.PredictProbabilities(ReadOnlySpan{float}, Span{float})"/> gives probabilities of a network without it too.
    /// PyTorch: <c>nn.Softmax(dim=1)</c>; Keras: <c>Softmax</c>.
    /// </summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Softmax(string? name = null) => Add(new SoftmaxLayer(name));
}
