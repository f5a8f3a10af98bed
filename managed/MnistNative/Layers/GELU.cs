using MnistNative.Interop;

namespace MnistNative;

internal sealed partial record GELULayer
{
    public override int AddTo(GraphBuilder graph, int source, string? name) =>
        graph.Add(MnOp.Activation, new MnActivationDesc
        {
            Kind = (int)(Approximate ? MnActivationKind.GeluTanh : MnActivationKind.Gelu),
        }, name, source);
}


public sealed partial class Sequential
{
    /// <summary>
    /// x · Φ(x) with the normal distribution Φ, by erf, or its approximation by tanh. PyTorch: <c>nn.GELU(approximate)</c>;
    /// Keras: <c>activations.gelu</c>.
    /// </summary>
    /// <param name="approximate">Whether Φ is approximated by tanh.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential GELU(bool approximate = false, string? name = null) => Add(new GELULayer(approximate, name));
}
