using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed partial record ScaleLayer(float Initial, string? ParameterName, string? Name) : Layer(CheckName(Name))
{
    // With a parameter of its own name it is, as in PyTorch, an nn.Parameter of the block, not a module.
    public override bool IsModule => Name is not null || ParameterName is null;

    public static Layer Read(LayerReader json) => new ScaleLayer(json.Float("initial"), json.Text("parameter"), json.Name);

    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        fixed (byte* parameter = Utf8.ToNative(ParameterName is null ? null : graph.Prefix + ParameterName))
        {
            return graph.Add(MnOp.Scale, new MnScaleDesc { Initial = Initial, ParameterName = parameter }, name, source);
        }
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
