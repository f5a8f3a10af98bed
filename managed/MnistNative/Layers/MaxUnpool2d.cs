using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record MaxUnpool2dLayer(string Pool, string? Name) : Layer(CheckName(Name))
{
    public const string FileKind = "max_unpool2d";

    public override string Kind => FileKind;

    public override string Type => "MaxUnpool2d";

    public static Layer Read(LayerReader json) => new MaxUnpool2dLayer(
        json.Text("pool") ?? throw new FormatException($"a layer of type \"{FileKind}\" has no \"pool\""), json.Name);

    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        int pool = graph.FindPool(Pool);
        int node;
        fixed (byte* text = Utf8.ToNative(name))
        {
            Native.Check(NativeMethods.GraphMaxUnpool2d(graph.Value, source, pool, text, &node));
        }

        return node;
    }

    protected override void WriteParameters(Utf8JsonWriter json) => json.WriteString("pool", Pool);
}

public sealed partial class Sequential
{
    /// <summary>
    /// The reverse of an earlier max pooling: each value goes where the maximum of its window stood, the rest is 0; the
    /// result has the shape of what was pooled. PyTorch: <c>nn.MaxUnpool2d</c> with the pooling's indices; Keras has none.
    /// </summary>
    /// <param name="pool">
    /// Name of the <see cref="MaxPool2d"/> layer, looked for in this block and then in those around it.
    /// </param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential MaxUnpool2d(string pool, string? name = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(pool);
        return Add(new MaxUnpool2dLayer(pool, name));
    }
}
