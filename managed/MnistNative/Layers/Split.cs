using System.Collections.Immutable;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed partial record SplitLayer(ImmutableArray<ImmutableArray<Layer>> Branches, string? Name)
    : BranchesLayer(Branches, Name)
{
    public static Layer Read(LayerReader json) => new SplitLayer(json.Branches("branches", minimum: 2), json.Name);

    private protected override int AddBranches(GraphBuilder graph, int source, string? name)
    {
        long channels = graph.ShapeOf(source)[0];
        (long part, long rest) = Math.DivRem(channels, Branches.Length);
        if (rest != 0)
        {
            throw new ArgumentException($"[Split \"{name}\"] cannot make {Branches.Length} equal parts of {channels} channels.");
        }

        return Combine(graph, [.. Branches.Select(AddPart)], name);

        int AddPart(ImmutableArray<Layer> branch, int i) =>
            graph.AddLayers(branch, graph.AddSlice(source, (int)(i * part), (int)part));
    }

    private protected override int Combine(GraphBuilder graph, int[] results, string? name) => graph.AddConcat(results, name);
}

public sealed partial class Sequential
{
    /// <summary>
    /// Cuts the channels (or features) into as many equal parts as there are branches, gives each branch its part, and puts
    /// their results one after another, as in ShuffleNet v2. A branch that adds no layers passes its part on. Layers inside
    /// are named and numbered as those around. PyTorch: <c>x.chunk(n, dim=1)</c> and <c>torch.cat(…, 1)</c>; Keras:
    /// <c>ops.split</c> and <c>Concatenate</c>.
    /// </summary>
    /// <param name="branches">Each adds the layers of a branch; at least two.</param>
    /// <returns>The longer network.</returns>
    public Sequential Split(params Func<Sequential, Sequential>[] branches) => Split(null, branches);

    /// <summary>Equal parts of the channels through branches of their own; see <see cref="Split(Func{Sequential, Sequential}[])"/>.</summary>
    /// <param name="name">Begins the names of the layers inside; when null they are named and numbered as those around.</param>
    /// <param name="branches">Each adds the layers of a branch; at least two.</param>
    /// <returns>The longer network.</returns>
    public Sequential Split(string? name, params Func<Sequential, Sequential>[] branches) =>
        Add(new SplitLayer(Branches(branches), name));
}
