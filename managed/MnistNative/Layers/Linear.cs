using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record LinearLayer(int OutFeatures, bool Bias, string? Name) : Layer(CheckName(Name))
{
    public const string FileKind = "linear";

    public override string Kind => FileKind;

    public override string Type => "Linear";

    public static Layer Read(LayerReader json) => new LinearLayer(json.Int("out_features"), json.Bool("bias"), json.Name);

    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        var desc = new MnLinearDesc
        {
            StructSize = (uint)sizeof(MnLinearDesc),
            OutFeatures = OutFeatures,
            Bias = Bias ? 1 : 0,
        };
        int node;
        fixed (byte* text = Utf8.ToNative(name))
        {
            Native.Check(NativeMethods.GraphLinear(graph.Value, source, &desc, text, &node));
        }

        return node;
    }

    protected override void WriteParameters(Utf8JsonWriter json)
    {
        json.WriteNumber("out_features", OutFeatures);
        json.WriteBoolean("bias", Bias);
    }
}

public sealed partial class Sequential
{
    /// <summary>
    /// A fully connected layer, y = x·Wᵀ + b, of F features; put <see cref="Flatten"/> before it where the input is an
    /// image. Parameters: <c>weight</c> of outFeatures×F, <c>bias</c> of outFeatures.
    /// PyTorch: <c>nn.Linear(F, outFeatures, bias)</c>; Keras: <c>Dense</c>.
    /// </summary>
    /// <param name="outFeatures">Number of output features.</param>
    /// <param name="bias">Whether a bias is added.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Linear(int outFeatures, bool bias = true, string? name = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(outFeatures, 1);
        return Add(new LinearLayer(outFeatures, bias, name));
    }
}
