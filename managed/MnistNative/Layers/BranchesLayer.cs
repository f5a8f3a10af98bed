using System.Collections.Immutable;
using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

/// <summary>Branches that read the same source and whose results are put together; an empty branch is the source itself.</summary>
internal abstract record BranchesLayer(ImmutableArray<ImmutableArray<Layer>> Branches, string? Name) : Layer(CheckName(Name))
{
    /// <summary>Without a name it is no module: the layers inside are named and numbered as those around it.</summary>
    public override bool IsModule => Name is not null;

    public override int AddTo(GraphBuilder graph, int source, string? name) =>
        name is null ? AddBranches(graph, source, name) : graph.Within(name, () => AddBranches(graph, source, name));

    /// <summary>Adds the branches and what puts them together.</summary>
    private protected virtual int AddBranches(GraphBuilder graph, int source, string? name) =>
        Combine(graph, [.. Branches.Select(branch => graph.AddLayers(branch, source))], name);

    /// <summary>Puts the branches' results together.</summary>
    private protected abstract int Combine(GraphBuilder graph, int[] results, string? name);

    protected override void WriteParameters(Utf8JsonWriter json) => json.WriteBranches("branches", Branches);
}
