using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record GroupNormLayer(int Groups, float Epsilon, bool Affine, string? Name) : Layer(CheckName(Name))
{
    public const string FileKind = "group_norm";

    public override string Kind => FileKind;

    public override string Type => "GroupNorm";

    public static Layer Read(LayerReader json) =>
        new GroupNormLayer(json.Int("groups"), json.Float("epsilon"), json.Bool("affine"), json.Name);

    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        var desc = new MnGroupNormDesc
        {
            StructSize = (uint)sizeof(MnGroupNormDesc),
            Groups = Groups,
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
        json.WriteNumber("groups", Groups);
        json.WriteNumber("epsilon", Epsilon);
        json.WriteBoolean("affine", Affine);
    }
}

public sealed partial class Sequential
{
    /// <summary>
    /// Normalises groups of channels of each image. Parameters: <c>weight</c> and <c>bias</c> of C. PyTorch:
    /// <c>nn.GroupNorm(groups, C, eps, affine)</c>; Keras: <c>GroupNormalization</c>.
    /// </summary>
    /// <param name="groups">Number of groups, which divides the channels.</param>
    /// <param name="epsilon">Added to the variance, not negative.</param>
    /// <param name="affine">Whether <c>weight</c> and <c>bias</c> scale and shift the result.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential GroupNorm(int groups, float epsilon = 1e-5f, bool affine = true, string? name = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(groups, 1);
        return Add(new GroupNormLayer(groups, NotNegative(epsilon), affine, name));
    }
}
