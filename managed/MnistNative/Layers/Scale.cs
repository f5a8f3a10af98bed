using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record ScaleLayer(float Initial, string? ParameterName, string? Name) : Layer(CheckName(Name))
{
    public const string FileKind = "scale";

    public override string Kind => FileKind;

    public override string Type => "Scale";

    // With a parameter of its own name it is, as in PyTorch, an nn.Parameter of the block, not a module.
    public override bool IsModule => Name is not null || ParameterName is null;

    public static Layer Read(LayerReader json) => new ScaleLayer(json.Float("initial"), json.Text("parameter"), json.Name);

    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        int node;
        fixed (byte* parameter = Utf8.ToNative(ParameterName is null ? null : graph.Prefix + ParameterName))
        fixed (byte* text = Utf8.ToNative(name))
        {
            var desc = new MnScaleDesc
            {
                StructSize = (uint)sizeof(MnScaleDesc),
                Initial = Initial,
                ParameterName = parameter,
            };
            Native.Check(NativeMethods.GraphScale(graph.Value, source, &desc, text, &node));
        }

        return node;
    }

    protected override void WriteParameters(Utf8JsonWriter json)
    {
        json.WriteNumber("initial", Initial);
        if (ParameterName is not null)
        {
            json.WriteString("parameter", ParameterName);
        }
    }
}

public sealed partial class Sequential
{
    /// <summary>
    /// A trainable factor for each channel of C×H×W images, as ConvNeXt's layer scale. Parameter: <c>weight</c> of
    /// C×1×1, or <paramref name="parameterName"/>. PyTorch: <c>x * nn.Parameter(torch.full((C, 1, 1), initial))</c>; Keras:
    /// a layer of one's own with <c>add_weight</c>.
    /// </summary>
    /// <param name="initial">First value of every factor, finite.</param>
    /// <param name="parameterName">
    /// Name of the parameter in the block, for example <c>layer_scale</c>; the layer's name and <c>weight</c> when null.
    /// With it the layer is no module, unless it has a name.
    /// </param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Scale(float initial = 1, string? parameterName = null, string? name = null) =>
        Add(new ScaleLayer(Finite(initial), Layer.CheckName(parameterName, nameof(parameterName)), name));
}
