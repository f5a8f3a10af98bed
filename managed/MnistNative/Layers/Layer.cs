using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

/// <summary>
/// One layer of a description, as data. All that is particular to a layer stands in one file: its record (what it is
/// called, how it is added to the native graph, how it is written to and read from a model file) and its method of
/// <see cref="Sequential"/>. A new layer is such a file and a line in the table of readers below.
/// </summary>
/// <param name="Name">The name that the user gave, or null for the layer's index.</param>
internal abstract record Layer(string? Name)
{
    /// <summary>How model files call the layer, and how it is read from them.</summary>
    private static readonly Dictionary<string, Func<LayerReader, Layer>> s_readers = new(StringComparer.Ordinal)
    {
        [NormalizeLayer.FileKind] = NormalizeLayer.Read,
        [InputViewLayer.FileKind] = InputViewLayer.Read,
        [Conv2dLayer.FileKind] = Conv2dLayer.Read,
        [ConvTranspose2dLayer.FileKind] = ConvTranspose2dLayer.Read,
        [Conv1dLayer.FileKind] = Conv1dLayer.Read,
        [MaxPool2dLayer.FileKind] = MaxPool2dLayer.Read,
        [AvgPool2dLayer.FileKind] = AvgPool2dLayer.Read,
        [MaxPool1dLayer.FileKind] = MaxPool1dLayer.Read,
        [AvgPool1dLayer.FileKind] = AvgPool1dLayer.Read,
        [MaxUnpool2dLayer.FileKind] = MaxUnpool2dLayer.Read,
        [GlobalAvgPool2dLayer.FileKind] = GlobalAvgPool2dLayer.Read,
        [GlobalMaxPool2dLayer.FileKind] = GlobalMaxPool2dLayer.Read,
        [AdaptiveAvgPool2dLayer.FileKind] = AdaptiveAvgPool2dLayer.Read,
        [AdaptiveMaxPool2dLayer.FileKind] = AdaptiveMaxPool2dLayer.Read,
        [BatchNorm1dLayer.FileKind] = BatchNorm1dLayer.Read,
        [BatchNorm2dLayer.FileKind] = BatchNorm2dLayer.Read,
        [LayerNormLayer.FileKind] = LayerNormLayer.Read,
        [GroupNormLayer.FileKind] = GroupNormLayer.Read,
        [InstanceNorm2dLayer.FileKind] = InstanceNorm2dLayer.Read,
        [LocalResponseNormLayer.FileKind] = LocalResponseNormLayer.Read,
        [LinearLayer.FileKind] = LinearLayer.Read,
        [PixelLinearLayer.FileKind] = PixelLinearLayer.Read,
        [EmbeddingLayer.FileKind] = EmbeddingLayer.Read,
        [ReLULayer.FileKind] = ReLULayer.Read,
        [ReLU6Layer.FileKind] = ReLU6Layer.Read,
        [LeakyReLULayer.FileKind] = LeakyReLULayer.Read,
        [ELULayer.FileKind] = ELULayer.Read,
        [GELULayer.FileKind] = GELULayer.Read,
        [SiLULayer.FileKind] = SiLULayer.Read,
        [SigmoidLayer.FileKind] = SigmoidLayer.Read,
        [TanhLayer.FileKind] = TanhLayer.Read,
        [HardswishLayer.FileKind] = HardswishLayer.Read,
        [HardsigmoidLayer.FileKind] = HardsigmoidLayer.Read,
        [SoftplusLayer.FileKind] = SoftplusLayer.Read,
        [SoftmaxLayer.FileKind] = SoftmaxLayer.Read,
        [LogSoftmaxLayer.FileKind] = LogSoftmaxLayer.Read,
        [DropoutLayer.FileKind] = DropoutLayer.Read,
        [Dropout2dLayer.FileKind] = Dropout2dLayer.Read,
        [StochasticDepthLayer.FileKind] = StochasticDepthLayer.Read,
        [FlattenLayer.FileKind] = FlattenLayer.Read,
        [ReshapeLayer.FileKind] = ReshapeLayer.Read,
        [UpsampleLayer.FileKind] = UpsampleLayer.Read,
        [SliceLayer.FileKind] = SliceLayer.Read,
        [ScaleLayer.FileKind] = ScaleLayer.Read,
        [ChannelShuffleLayer.FileKind] = ChannelShuffleLayer.Read,
        [ResidualLayer.FileKind] = ResidualLayer.Read,
        [AddLayer.FileKind] = AddLayer.Read,
        [SubtractLayer.FileKind] = SubtractLayer.Read,
        [MultiplyLayer.FileKind] = MultiplyLayer.Read,
        [ConcatLayer.FileKind] = ConcatLayer.Read,
        [SplitLayer.FileKind] = SplitLayer.Read,
        [HighwayLayer.FileKind] = HighwayLayer.Read,
        [BlockLayer.FileKind] = BlockLayer.Read,
        [HeadLayer.FileKind] = HeadLayer.Read,
    };

    /// <summary>The layer's kind in model files, for example <c>conv2d</c>.</summary>
    public abstract string Kind { get; }

    /// <summary>The layer's type for people, for example <c>Conv2d</c>.</summary>
    public abstract string Type { get; }

    /// <summary>Whether PyTorch has a module for it, which counts in the numbering of <c>nn.Sequential</c>.</summary>
    public virtual bool IsModule => true;

    /// <summary>Whether a summary has a row for the layer itself.</summary>
    public virtual bool HasRow => true;

    /// <summary>Whether its result is probabilities.</summary>
    public virtual bool EndsInSoftmax => false;

    /// <summary>Whether the result of layers that follow one another is probabilities.</summary>
    public static bool EndInSoftmax(IEnumerable<Layer> layers) =>
        layers.LastOrDefault(layer => layer is not HeadLayer)?.EndsInSoftmax ?? false;

    /// <summary>Reads a layer from a model file.</summary>
    /// <exception cref="FormatException">The text is not a layer that this version knows.</exception>
    public static Layer Read(JsonElement json, int nesting)
    {
        var reader = new LayerReader(json, nesting);
        string kind = reader.Text("type") ?? throw new FormatException("a layer has no type");
        return s_readers.TryGetValue(kind, out Func<LayerReader, Layer>? read)
            ? read(reader)
            : throw new FormatException($"layer type \"{kind}\" is unknown to this version");
    }

    /// <summary>Reads layers that follow one another.</summary>
    /// <exception cref="FormatException">The text is not a list of layers that this version knows.</exception>
    public static IEnumerable<Layer> ReadAll(JsonElement json, int nesting) =>
        nesting > Sequential.MaxNesting ? throw new FormatException(Sequential.TooDeep)
            : json.ValueKind == JsonValueKind.Array ? json.EnumerateArray().Select(layer => Read(layer, nesting))
            : throw new FormatException($"layers are a JSON {json.ValueKind}, not an array");

    /// <summary>Writes layers that follow one another.</summary>
    public static void WriteAll(Utf8JsonWriter json, IEnumerable<Layer> layers)
    {
        json.WriteStartArray();
        foreach (Layer layer in layers)
        {
            layer.Write(json);
        }

        json.WriteEndArray();
    }

    /// <summary>Adds the layer to a native graph and returns the id of the node that holds its result.</summary>
    /// <param name="graph">The graph.</param>
    /// <param name="source">Id of the node whose result the layer reads.</param>
    /// <param name="name">The layer's full name, or null for one that the library makes.</param>
    public abstract int AddTo(GraphBuilder graph, int source, string? name);

    /// <summary>Writes the layer as a JSON object.</summary>
    public void Write(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteString("type", Kind);
        if (Name is not null)
        {
            json.WriteString("name", Name);
        }

        WriteParameters(json);
        json.WriteEndObject();
    }

    /// <summary>Writes what is particular to the layer, as properties of an open object.</summary>
    protected virtual void WriteParameters(Utf8JsonWriter json)
    {
    }

    /// <summary>Returns the name if it can be one, else throws.</summary>
    internal static string? CheckName(string? name, string paramName = "name")
    {
        if (name is not null && (name.Length is 0 or > 200 || name.Any(char.IsControl)))
        {
            throw new ArgumentException("A layer's name must have 1 to 200 characters and no control characters.", paramName);
        }

        return name;
    }
}
