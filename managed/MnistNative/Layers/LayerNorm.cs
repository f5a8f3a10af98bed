using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record LayerNormLayer(float Epsilon, bool Affine, bool ChannelsOnly, string? Name)
    : Layer(CheckName(Name))
{
    public const string FileKind = "layer_norm";

    public override string Kind => FileKind;

    public override string Type => "LayerNorm";

    public static Layer Read(LayerReader json) =>
        new LayerNormLayer(json.Float("epsilon"), json.Bool("affine"), json.Bool("channels_only"), json.Name);

    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        var desc = new MnLayerNormDesc
        {
            StructSize = (uint)sizeof(MnLayerNormDesc),
            Epsilon = Epsilon,
            Affine = Affine ? 1 : 0,
            ChannelsOnly = ChannelsOnly ? 1 : 0,
        };
        int node;
        fixed (byte* text = Utf8.ToNative(name))
        {
            Native.Check(NativeMethods.GraphLayerNorm(graph.Value, source, &desc, text, &node));
        }

        return node;
    }

    protected override void WriteParameters(Utf8JsonWriter json)
    {
        json.WriteNumber("epsilon", Epsilon);
        json.WriteBoolean("affine", Affine);
        json.WriteBoolean("channels_only", ChannelsOnly);
    }
}

public sealed partial class Sequential
{
    /// <summary>
    /// Normalises each image over all its dimensions, or each pixel over its channels. Parameters: <c>weight</c> and
    /// <c>bias</c> of the shape that is normalised. PyTorch: <c>nn.LayerNorm((C, H, W), eps, affine)</c>, and
    /// <c>LayerNorm2d(C)</c> of torchvision for channels only; Keras: <c>LayerNormalization</c>.
    /// </summary>
    /// <param name="epsilon">Added to the variance, not negative.</param>
    /// <param name="affine">Whether <c>weight</c> and <c>bias</c> scale and shift the result.</param>
    /// <param name="channelsOnly">Whether each pixel is normalised over its channels, as in ConvNeXt.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential LayerNorm(float epsilon = 1e-5f, bool affine = true, bool channelsOnly = false, string? name = null) =>
        Add(new LayerNormLayer(NotNegative(epsilon), affine, channelsOnly, name));
}
