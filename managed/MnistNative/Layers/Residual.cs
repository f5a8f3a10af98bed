using System.Collections.Immutable;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed partial record ResidualLayer(ImmutableArray<ImmutableArray<Layer>> Branches, string? Name)
    : BranchesLayer(Branches, Name)
{
    public static Layer Read(LayerReader json) => new ResidualLayer(json.Branches("branches", minimum: 2, maximum: 2), json.Name);

    private protected override int Combine(GraphBuilder graph, int[] results, string? name) =>
        graph.AddBinary(MnBinaryKind.Add, results[0], results[1], name);
}

public sealed partial class Sequential
{
    /// <summary>
    /// A residual connection, branch(x) + x or branch(x) + shortcut(x). PyTorch: <c>branch(x) + x</c>; Keras: <c>Add</c>.
    /// </summary>
    /// <param name="branch">Adds the layers of the branch.</param>
    /// <param name="shortcut">Adds the layers of the shortcut, for example a 1×1 convolution; none when null.</param>
    /// <param name="name">Begins the names of the layers inside; when null they are named and numbered as those around.</param>
    /// <returns>The longer network.</returns>
    public Sequential Residual(
        Func<Sequential, Sequential> branch, Func<Sequential, Sequential>? shortcut = null, string? name = null) =>
        Add(new ResidualLayer([Branch(branch), shortcut is null ? [] : Branch(shortcut)], name));
}
