using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

/// <summary>How values between pixels are made.</summary>
public enum UpsampleMode
{
    /// <summary>The nearest pixel.</summary>
    Nearest = 0,

    /// <summary>Linear in both directions.</summary>
    Bilinear = 1,
}

internal sealed record UpsampleLayer(Size2D Scale, UpsampleMode Mode, bool AlignCorners, string? Name) : Layer(CheckName(Name))
{
    public const string FileKind = "upsample";

    private static readonly string[] s_modes = ["nearest", "bilinear"];

    public override string Kind => FileKind;

    public override string Type => "Upsample";

    public static Layer Read(LayerReader json) => new UpsampleLayer(
        json.Size("scale"), (UpsampleMode)json.Word("mode", s_modes), json.Bool("align_corners"), json.Name);

    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        var desc = new MnUpsampleDesc
        {
            StructSize = (uint)sizeof(MnUpsampleDesc),
            Mode = (int)Mode,
            ScaleH = Scale.Height,
            ScaleW = Scale.Width,
            AlignCorners = AlignCorners ? 1 : 0,
        };
        int node;
        fixed (byte* text = Utf8.ToNative(name))
        {
            Native.Check(NativeMethods.GraphUpsample(graph.Value, source, &desc, text, &node));
        }

        return node;
    }

    protected override void WriteParameters(Utf8JsonWriter json)
    {
        json.WriteSize("scale", Scale);
        json.WriteString("mode", s_modes[(int)Mode]);
        json.WriteBoolean("align_corners", AlignCorners);
    }
}

public sealed partial class Sequential
{
    /// <summary>
    /// Enlarges C×H×W images by whole factors. PyTorch: <c>nn.Upsample(scale_factor, mode, align_corners)</c>; Keras:
    /// <c>UpSampling2D(size, interpolation)</c>.
    /// </summary>
    /// <param name="scale">The factor: a number, or (height, width).</param>
    /// <param name="mode">How values between pixels are made.</param>
    /// <param name="alignCorners">Bilinear: whether corner pixels lie on corner pixels instead of edges on edges.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Upsample(
        Size2D scale, UpsampleMode mode = UpsampleMode.Nearest, bool alignCorners = false, string? name = null) =>
        Add(new UpsampleLayer(scale.AtLeast(1, nameof(scale)), Defined(mode), alignCorners, name));
}
