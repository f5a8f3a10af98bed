using System.Collections.Immutable;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed partial record AddLayer(ImmutableArray<ImmutableArray<Layer>> Branches, string? Name)
    : BranchesLayer(Branches, Name)
{
    public static Layer Read(LayerReader json) => new AddLayer(json.Branches("branches", minimum: 2, maximum: 2), json.Name);

    private protected override int Combine(GraphBuilder graph, int[] results, string? name) =>
        graph.AddBinary(MnBinaryKind.Add, results[0], results[1], name);
}

public sealed partial class Sequential
{
    /// <summary>
    /// The sum of two branches, value by value. The second may be C×1×1 and is
    /// then repeated over height and width. A branch that adds no layers is what comes before. PyTorch: <c>left(x) + right(x)</c>;
    /// Keras: <c>Add</c>.
    /// </summary>
    /// <param name="left">Adds the layers of the first branch.</param>
    /// <param name="right">Adds the layers of the second branch.</param>
    /// <param name="name">Begins the names of the layers inside; when null they are named and numbered as those around.</param>
    /// <returns>The longer network.</returns>
    public Sequential Add(
        Func<Sequential, Sequential> left, Func<Sequential, Sequential> right, string? name = null) =>
        Add(new AddLayer([Branch(left), Branch(right)], name));
}
