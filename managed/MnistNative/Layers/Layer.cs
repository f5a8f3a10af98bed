using System.Text;
using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

/// <summary>
/// One layer of a description, as data. Its row in <c>native/graph/ops.def</c> gives its record, how it is read, written
/// and added to the native graph, and the table of readers (Layers.g.cs); its file here has its method of
/// <see cref="Sequential"/>, and what does not follow from the row.
/// </summary>
/// <param name="Name">The name that the user gave, or null for the layer's index.</param>
internal abstract partial record Layer(string? Name)
{
    /// <summary>The kinds of layer that model files have.</summary>
    public static IEnumerable<string> Kinds => s_readers.Keys;

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

    /// <summary>Throws where the layer takes fewer shapes than its op, before it is added.</summary>
    public virtual void Check(GraphBuilder graph, int source, string? name)
    {
    }

    /// <summary>Notes the layer's node for layers that refer to it, after it was added.</summary>
    public virtual void Note(GraphBuilder graph, string? name, int node)
    {
    }

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
        if (name is not null
            && (name.Length == 0 || Encoding.UTF8.GetByteCount(name) > NativeConstants.MaxNodeName || name.Any(char.IsControl)))
        {
            throw new ArgumentException(
                $"A layer's name must have 1 to {NativeConstants.MaxNodeName} bytes in UTF-8 and no control characters, " +
                $"got {Encoding.UTF8.GetByteCount(name)} bytes.",
                paramName);
        }

        return name;
    }
}
