using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record InstanceNorm2dLayer(float Epsilon, bool Affine, string? Name) : Layer(CheckName(Name))
{
    public const string FileKind = "instance_norm2d";

    public override string Kind => FileKind;

    public override string Type => "InstanceNorm2d";

    public static Layer Read(LayerReader json) =>
        new InstanceNorm2dLayer(json.Float("epsilon"), json.Bool("affine"), json.Name);

    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        // No groups: one a channel.
        var desc = new MnGroupNormDesc
        {
            StructSize = (uint)sizeof(MnGroupNormDesc),
            Epsilon = Epsilon,
            Affine = Affine ? 1 : 0,
        };
        int node;
        fixed (byte* text = Utf8.ToNative(name))
        {
            Native.Check(NativeMethods.GraphGroupNorm(graph.Value, source, &desc, text, &node));
        }

        return node;
    }

    protected override void WriteParameters(Utf8JsonWriter json)
    {
        json.WriteNumber("epsilon", Epsilon);
        json.WriteBoolean("affine", Affine);
    }
}

public sealed partial class Sequential
{
    /// <summary>
    /// Normalises every channel of each image. Parameters if affine: <c>weight</c> and <c>bias</c> of C. PyTorch:
    /// <c>nn.InstanceNorm2d(C, eps, affine)</c>; Keras: <c>GroupNormalization(groups=-1)</c>.
    /// </summary>
    /// <param name="epsilon">Added to the variance, not negative.</param>
    /// <param name="affine">Whether <c>weight</c> and <c>bias</c> scale and shift the result; not by default, as in PyTorch.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential InstanceNorm2d(float epsilon = 1e-5f, bool affine = false, string? name = null) =>
        Add(new InstanceNorm2dLayer(NotNegative(epsilon), affine, name));
}
