using System.Collections.Immutable;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed partial record ConcatLayer(ImmutableArray<ImmutableArray<Layer>> Branches, string? Name)
    : BranchesLayer(Branches, Name)
{
    public static Layer Read(LayerReader json) => new ConcatLayer(json.Branches("branches", minimum: 2), json.Name);

    private protected override int Combine(GraphBuilder graph, int[] results, string? name) => graph.AddConcat(results, name);
}

public sealed partial class Sequential
{
    /// <summary>
    /// The channels (or features) of all branches one after another, as in Inception and, with a branch that adds no layers,
    /// DenseNet. Layers inside are named and numbered as those around. PyTorch: <c>torch.cat(…, 1)</c>; Keras:
    /// <c>Concatenate(axis=1)</c>.
    /// </summary>
    /// <param name="branches">Each adds the layers of a branch; at least two.</param>
    /// <returns>The longer network.</returns>
    public Sequential Concat(params Func<Sequential, Sequential>[] branches) => Concat(null, branches);

    /// <summary>The channels of all branches one after another; see <see cref="Concat(Func{Sequential, Sequential}[])"/>.</summary>
    /// <param name="name">Begins the names of the layers inside; when null they are named and numbered as those around.</param>
    /// <param name="branches">Each adds the layers of a branch; at least two.</param>
    /// <returns>The longer network.</returns>
    public Sequential Concat(string? name, params Func<Sequential, Sequential>[] branches) =>
        Add(new ConcatLayer(Branches(branches), name));
}
