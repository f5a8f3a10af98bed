namespace MnistNative.Interop;

/// <summary>An auxiliary output: where it is, and how much its loss counts.</summary>
/// <param name="Name">The head's full name.</param>
/// <param name="Node">Id of the node that holds its result.</param>
/// <param name="Weight">Factor of its loss.</param>
/// <param name="Length">Number of values in its result for one image.</param>
internal readonly record struct AuxiliaryHead(string Name, int Node, float Weight, long Length);

/// <summary>Makes a native graph of a description and keeps what is known about each layer.</summary>
internal sealed unsafe class GraphBuilder : IDisposable
{
    private readonly GraphHandle _graph;
    private readonly List<LayerSummary> _rows = [];
    private readonly List<int> _rowNodes = [];
    private readonly List<AuxiliaryHead> _heads = [];
    private readonly Dictionary<string, int> _pools = new(StringComparer.Ordinal);
    private readonly HashSet<int> _pixelLinears = [];
    private string _prefix = "";
    private int _index;

    private GraphBuilder(GraphHandle graph) => _graph = graph;

    /// <summary>The native graph. The builder must be alive while it is used.</summary>
    public ulong Value { get; private set; }

    /// <summary>Id of the node that holds the network's result.</summary>
    public int Output { get; private set; }

    /// <summary>Id of the node that the last layer reads.</summary>
    public int BeforeOutput { get; private set; }

    /// <summary>Shape of the network's result for one image.</summary>
    public IReadOnlyList<long> OutputShape => ShapeOf(Output);

    /// <summary>A row for the input and for every layer.</summary>
    public IReadOnlyList<LayerSummary> Rows => _rows;

    /// <summary>The nodes that hold the results of the rows.</summary>
    public IReadOnlyList<int> RowNodes => _rowNodes;

    /// <summary>The auxiliary outputs, in order.</summary>
    public IReadOnlyList<AuxiliaryHead> Heads => _heads;

    /// <summary>What names in the block that is being built begin with: "" or, for example, <c>layer1.0.</c>.</summary>
    public string Prefix => _prefix;

    /// <summary>Convolutions that are linear layers over channels, whose weights have two dimensions.</summary>
    public IReadOnlySet<int> PixelLinears => _pixelLinears;

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
            builder.Output = builder.AddLayers(network.Layers, builder.AddInput(network.InputShape));
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
    /// Adds layers one after another and returns the last node. Names are PyTorch's: the index among the modules of the
    /// block, or the layer's own, after the block's.
    /// </summary>
    public int AddLayers(IReadOnlyList<Layer> layers, int source)
    {
        int node = source;
        foreach (Layer layer in layers)
        {
            string? name = layer.Name ?? (layer.IsModule ? $"{_index}" : null);
            string? fullName = name is null ? null : _prefix + name;
            _index += layer.IsModule ? 1 : 0;
            BeforeOutput = node;
            node = layer.AddTo(this, node, fullName);
            if (layer.HasRow)
            {
                AddRow(layer.Type, node, fullName ?? "");
            }
        }

        return node;
    }

    /// <summary>Does something within a block of that name: names begin with it, and numbers with 0.</summary>
    public T Within<T>(string name, Func<T> add)
    {
        (string prefix, int index) = (_prefix, _index);
        (_prefix, _index) = (name + ".", 0);
        try
        {
            return add();
        }
        finally
        {
            (_prefix, _index) = (prefix, index);
        }
    }

    /// <summary>Adds an auxiliary output, which the network goes on without.</summary>
    public void AddHead(string name, float weight, Func<int> add)
    {
        int before = BeforeOutput;
        int node = Within(name, add);
        BeforeOutput = before;
        _heads.Add(new AuxiliaryHead(name, node, weight, ShapeOf(node).Aggregate((product, dimension) => product * dimension)));
    }

    /// <summary>Notes a max pooling, for the layers that undo it.</summary>
    public void AddPool(string? name, int node)
    {
        if (name is not null)
        {
            _pools[name] = node;
        }
    }

    /// <summary>The node of an earlier max pooling, looked for in the block that is being built, then in those around it.</summary>
    public int FindPool(string name)
    {
        string prefix = _prefix;
        while (true)
        {
            if (_pools.TryGetValue(prefix + name, out int node))
            {
                return node;
            }

            if (prefix.Length == 0)
            {
                throw new ArgumentException($"There is no MaxPool2d layer \"{name}\" before its MaxUnpool2d.");
            }

            prefix = prefix[..(prefix.LastIndexOf('.', prefix.Length - 2) + 1)];
        }
    }

    /// <summary>Notes that a convolution is a linear layer over channels.</summary>
    public void AddPixelLinear(int node) => _pixelLinears.Add(node);

    /// <summary>Shape of a node's result for one image.</summary>
    public long[] ShapeOf(int node) => NativeShape.ToArray(Describe(node).Shape);

    /// <summary>Throws unless a node's result has one of these numbers of dimensions.</summary>
    public void CheckRank(int source, string type, string? name, params ReadOnlySpan<int> ranks)
    {
        long[] shape = ShapeOf(source);
        if (!ranks.Contains(shape.Length))
        {
            throw new ArgumentException(
                $"[{type} \"{name}\"] takes {string.Join(" or ", ranks.ToArray())} dimensions, got {NativeShape.ToText(shape)}.");
        }
    }

    /// <summary>Adds a padding of images.</summary>
    public int AddPadding(int source, PaddingMode mode, int top, int left, int bottom, int right)
    {
        var desc = new MnPad2dDesc
        {
            StructSize = (uint)sizeof(MnPad2dDesc),
            Mode = (int)mode,
            Top = top,
            Left = left,
            Bottom = bottom,
            Right = right,
        };
        int node;
        Native.Check(NativeMethods.GraphPad2d(Value, source, &desc, null, &node));
        return node;
    }

    /// <summary>Adds an elementwise operation of two nodes.</summary>
    public int AddBinary(MnBinaryKind kind, int left, int right, string? name = null)
    {
        var desc = new MnBinaryDesc { StructSize = (uint)sizeof(MnBinaryDesc), Kind = (int)kind };
        int node;
        fixed (byte* text = Utf8.ToNative(name))
        {
            Native.Check(NativeMethods.GraphBinary(Value, left, right, &desc, text, &node));
        }

        return node;
    }

    /// <summary>Adds a change of shape.</summary>
    public int AddReshape(int source, ReadOnlySpan<long> shape, string? name = null)
    {
        MnShape native = NativeShape.From(shape);
        int node;
        fixed (byte* text = Utf8.ToNative(name))
        {
            Native.Check(NativeMethods.GraphReshape(Value, source, &native, text, &node));
        }

        return node;
    }

    /// <summary>Adds a choice of channels or features.</summary>
    public int AddSlice(int source, int first, int count, string? name = null)
    {
        var desc = new MnSliceDesc { StructSize = (uint)sizeof(MnSliceDesc), First = first, Count = count };
        int node;
        fixed (byte* text = Utf8.ToNative(name))
        {
            Native.Check(NativeMethods.GraphSlice(Value, source, &desc, text, &node));
        }

        return node;
    }

    /// <summary>Adds a concatenation, in pieces where there are more sources than the library takes at once.</summary>
    public int AddConcat(IReadOnlyList<int> sources, string? name = null)
    {
        const int most = 8;
        int[] piece = [.. sources.Take(most)];
        int done = piece.Length;
        while (true)
        {
            bool last = done == sources.Count;
            int node;
            fixed (int* ids = piece)
            fixed (byte* text = Utf8.ToNative(last ? name : null))
            {
                Native.Check(NativeMethods.GraphConcat(Value, ids, piece.Length, text, &node));
            }

            if (last)
            {
                return node;
            }

            piece = [node, .. sources.Skip(done).Take(most - 1)];
            done += piece.Length - 1;
        }
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
        MnNodeInfo info = Describe(node);
        _rowNodes.Add(node);
        _rows.Add(new LayerSummary(name, type, NativeShape.ToArray(info.Shape), info.ParameterCount, info.MultiplyAdds));
    }

    private MnNodeInfo Describe(int node)
    {
        var info = new MnNodeInfo { StructSize = (uint)sizeof(MnNodeInfo) };
        Native.Check(NativeMethods.GraphDescribe(Value, node, &info));
        return info;
    }
}
