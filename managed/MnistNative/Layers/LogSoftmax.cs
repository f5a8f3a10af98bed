using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record LogSoftmaxLayer(string? Name) : Layer(CheckName(Name))
{
    public const string FileKind = "log_softmax";

    public override string Kind => FileKind;

    public override string Type => "LogSoftmax";

    public static Layer Read(LayerReader json) => new LogSoftmaxLayer(json.Name);

    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        int node;
        fixed (byte* text = Utf8.ToNative(name))
        {
            Native.Check(NativeMethods.GraphLogSoftmax(graph.Value, source, text, &node));
        }

        return node;
    }
}

public sealed partial class Sequential
{
    /// <summary>
    /// The logarithm of the softmax over features, x − log Σ exp(x). PyTorch: <c>nn.LogSoftmax(dim=1)</c>; Keras:
    /// <c>activations.log_softmax</c>.
    /// </summary>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential LogSoftmax(string? name = null) => Add(new LogSoftmaxLayer(name));
}
