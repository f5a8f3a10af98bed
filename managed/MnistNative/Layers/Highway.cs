using System.Collections.Immutable;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed partial record HighwayLayer(ImmutableArray<ImmutableArray<Layer>> Branches, string? Name)
    : BranchesLayer(Branches, Name)
{
    public static Layer Read(LayerReader json) => new HighwayLayer(json.Branches("branches", minimum: 2, maximum: 2), json.Name);

    private protected override int AddBranches(GraphBuilder graph, int source, string? name)
    {
        // t·h + (1 − t)·x = (h − x)·t + x
        int transform = graph.AddLayers(Branches[0], source);
        int gate = graph.AddLayers(Branches[1], source);
        int difference = graph.AddBinary(MnBinaryKind.Subtract, transform, source);
        return Combine(graph, [graph.AddBinary(MnBinaryKind.Multiply, difference, gate), source], name);
    }

    private protected override int Combine(GraphBuilder graph, int[] results, string? name) =>
        graph.AddBinary(MnBinaryKind.Add, results[0], results[1], name);
}

public sealed partial class Sequential
{
    /// <summary>
    /// A highway connection (Srivastava, Greff and Schmidhuber, 2015), y = t·h + (1 − t)·x with h = transform(x) and
    /// t = gate(x), which should end in <see cref="Sigmoid"/> and may be C×1×1. PyTorch: <c>t * h + (1 - t) * x</c>; Keras:
    /// <c>Multiply</c> and <c>Add</c>.
    /// </summary>
    /// <param name="transform">Adds the layers of the transform, whose result has the shape of x.</param>
    /// <param name="gate">Adds the layers of the gate.</param>
    /// <param name="name">Begins the names of the layers inside; when null they are named and numbered as those around.</param>
    /// <returns>The longer network.</returns>
    public Sequential Highway(
        Func<Sequential, Sequential> transform, Func<Sequential, Sequential> gate, string? name = null) =>
        Add(new HighwayLayer([Branch(transform), Branch(gate)], name));
}
