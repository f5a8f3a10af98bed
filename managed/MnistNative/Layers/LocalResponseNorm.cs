using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record LocalResponseNormLayer(int Size, float Alpha, float Beta, float K, string? Name)
    : Layer(CheckName(Name))
{
    public const string FileKind = "local_response_norm";

    public override string Kind => FileKind;

    public override string Type => "LocalResponseNorm";

    public static Layer Read(LayerReader json) =>
        new LocalResponseNormLayer(json.Int("size"), json.Float("alpha"), json.Float("beta"), json.Float("k"), json.Name);

    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        var desc = new MnLocalResponseNormDesc
        {
            StructSize = (uint)sizeof(MnLocalResponseNormDesc),
            Size = Size,
            Alpha = Alpha,
            Beta = Beta,
            K = K,
        };
        int node;
        fixed (byte* text = Utf8.ToNative(name))
        {
            Native.Check(NativeMethods.GraphLocalResponseNorm(graph.Value, source, &desc, text, &node));
        }

        return node;
    }

    protected override void WriteParameters(Utf8JsonWriter json)
    {
        json.WriteNumber("size", Size);
        json.WriteNumber("alpha", Alpha);
        json.WriteNumber("beta", Beta);
        json.WriteNumber("k", K);
    }
}

public sealed partial class Sequential
{
    /// <summary>
    /// Normalises across neighbouring channels, x / (k + alpha / size · Σ x²)^beta, the sum over size channels around.
    /// PyTorch: <c>nn.LocalResponseNorm(size, alpha, beta, k)</c>; Keras has none, TensorFlow
    /// <c>tf.nn.local_response_normalization</c>, whose alpha is not divided by the size.
    /// </summary>
    /// <param name="size">Number of channels in the sum.</param>
    /// <param name="alpha">Factor of the sum, not negative.</param>
    /// <param name="beta">Exponent, not negative.</param>
    /// <param name="k">Added to the sum, not negative.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential LocalResponseNorm(int size, float alpha = 1e-4f, float beta = 0.75f, float k = 1, string? name = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(size, 1);
        return Add(new LocalResponseNormLayer(size, NotNegative(alpha), NotNegative(beta), NotNegative(k), name));
    }
}
