using MnistNative.Bindgen;
using MnistNative.Interop;
using MnistNative.Tests.Files;

namespace MnistNative.Tests.Api;

/// <summary>What the table of ops promises of the C# library and the docs; the native tests have the rest.</summary>
public sealed class OpTableTests
{
    private static readonly string s_root = Bindings.FindRepositoryRoot(AppContext.BaseDirectory);
    private static readonly OpTable s_table = OpTable.Read(Path.Combine(s_root, Bindings.TablePath));

    public static TheoryData<string> Ops => [.. s_table.Ops.Select(op => op.Id)];

    public static TheoryData<string> Layers => [.. s_table.Layers.Select(layer => layer.Type)];

    [Theory]
    [MemberData(nameof(Ops))]
    public void EveryOpIsUsedByALayer(string id)
    {
        OpRow op = s_table.Find(id);
        HashSet<string> used = [.. HostileNetworkTests.EveryLayer.SelectMany(OpsOf)];
        Assert.True(used.Contains(Names.Member("MN_" + id)), $"no layer adds the op {op.Name} to a graph");
    }

    [Theory]
    [MemberData(nameof(Ops))]
    public void EveryOpRunsOnACardOrTheDocsSayWhyNot(string id)
    {
        OpRow op = s_table.Find(id);
        if (op.Cpu == "MN_NO_KERNEL")
        {
            Assert.True(op.Cuda == "MN_NO_KERNEL", $"{op.Name} has a kernel on CUDA and none on the CPU");
            return;
        }
        string row = File.ReadLines(Path.Combine(s_root, Bindings.OpsPagePath)).Single(line => line.StartsWith($"| `{op.Name}` |", StringComparison.Ordinal));
        Assert.True(
            op.Cuda.StartsWith("MN_CUDA(", StringComparison.Ordinal) ? row.EndsWith("| yes |", StringComparison.Ordinal) : row.Contains("| no: ", StringComparison.Ordinal),
            $"{op.Name} has neither a kernel on CUDA nor a reason: {op.Cuda}");
    }

    [Theory]
    [MemberData(nameof(Layers))]
    public void EveryLayerIsAMethodAndARowOfTheDocs(string type)
    {
        if (type == "InputView")
        {
            // It comes with an input of features or sequences.
            return;
        }
        Assert.True(typeof(Sequential).GetMethods().Any(method => method.Name == type), $"Sequential has no method {type}");
        Assert.True(
            File.ReadLines(Path.Combine(s_root, Bindings.LayersPagePath)).Any(line => line.StartsWith($"| `{type}(", StringComparison.Ordinal)),
            $"{Bindings.LayersPagePath} has no row for {type}");
    }

    [Theory]
    [InlineData("MN_OP(A, a, none, a, MN_SOURCES(1, 1), MN_REFERENCE(a), MN_CUDA(a))", "7 columns")]
    [InlineData("MN_LAYER(A, a, B, int)", "\"int\"")]
    [InlineData("MN_LAYER(A, a, B, int C", "no end")]
    public void MalformedRowsAreRefused(string row, string text) =>
        Assert.Contains(text, Assert.Throws<NotSupportedException>(() => new OpTable(row)).Message, StringComparison.Ordinal);

    private static unsafe List<string> OpsOf(Sequential network)
    {
        using GraphBuilder graph = GraphBuilder.Build(network);
        List<string> ops = [];
        var info = new MnNodeInfo { StructSize = (uint)sizeof(MnNodeInfo) };
        while (NativeMethods.GraphNode(graph.Value, ops.Count, &info, null) == MnStatus.Ok)
        {
            ops.Add($"{(MnOp)info.Op}");
        }
        return ops;
    }
}
