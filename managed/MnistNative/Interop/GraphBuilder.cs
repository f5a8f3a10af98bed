namespace MnistNative.Interop;

/// <summary>Makes a native graph of a description and keeps what is known about each layer.</summary>
internal sealed unsafe class GraphBuilder : IDisposable
{
    private readonly GraphHandle _graph;
    private readonly List<LayerSummary> _rows = [];

    private GraphBuilder(GraphHandle graph) => _graph = graph;

    /// <summary>The native graph. The builder must be alive while it is used.</summary>
    public ulong Value { get; private set; }

    /// <summary>Id of the node that holds the network's result.</summary>
    public int Output { get; private set; }

    /// <summary>Id of the node that the last layer reads.</summary>
    public int BeforeOutput { get; private set; }

    /// <summary>Shape of the network's result for one image.</summary>
    public IReadOnlyList<long> OutputShape => _rows[^1].OutputShape;

    /// <summary>A row for the input and for every layer.</summary>
    public IReadOnlyList<LayerSummary> Rows => _rows;

    /// <summary>Builds the graph of a network.</summary>
    /// <exception cref="ArgumentException">A layer does not fit what comes before it; the text names it.</exception>
    public static GraphBuilder Build(Sequential network)
    {
        NativeLibraryLoader.EnsureLoaded();
        ulong value;
        Native.Check(NativeMethods.GraphCreate(&value));
        var builder = new GraphBuilder(new GraphHandle(value)) { Value = value };
        try
        {
            builder.Output = builder.AddLayers(network.Layers, builder.AddInput(network.InputShape), prefix: "");
            return builder;
        }
        catch
        {
            builder.Dispose();
            throw;
        }
    }

    public void Dispose() => _graph.Dispose();

    /// <summary>
    /// Adds layers one after another and returns the last node. Names are PyTorch's: the index among the modules, or
    /// the layer's own, after the prefix.
    /// </summary>
    public int AddLayers(IReadOnlyList<Layer> layers, int source, string prefix)
    {
        int index = 0;
        int node = source;
        foreach (Layer layer in layers)
        {
            string? name = layer.Name ?? (layer.IsModule ? $"{index}" : null);
            BeforeOutput = node;
            node = layer.AddTo(this, node, name is null ? null : prefix + name);
            AddRow(layer.Type, node, name is null ? "" : prefix + name);
            index += layer.IsModule ? 1 : 0;
        }

        return node;
    }

    private int AddInput(ImageShape shape)
    {
        MnShape native = NativeShape.From(shape);
        int node;
        Native.Check(NativeMethods.GraphInput(Value, &native, null, &node));
        AddRow("Input", node, "");
        return node;
    }

    private void AddRow(string type, int node, string name)
    {
        var info = new MnNodeInfo { StructSize = (uint)sizeof(MnNodeInfo) };
        Native.Check(NativeMethods.GraphDescribe(Value, node, &info));
        _rows.Add(new LayerSummary(name, type, NativeShape.ToArray(info.Shape), info.ParameterCount));
    }
}
