using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record SliceLayer(int First, int Count, string? Name) : Layer(CheckName(Name))
{
    public const string FileKind = "slice";

    public override string Kind => FileKind;

    public override string Type => "Slice";

    public static Layer Read(LayerReader json) => new SliceLayer(json.Int("first"), json.Int("count"), json.Name);

    public override bool IsModule => Name is not null;

    public override int AddTo(GraphBuilder graph, int source, string? name) =>
        graph.AddSlice(source, First, Count, name);

    protected override void WriteParameters(Utf8JsonWriter json)
    {
        json.WriteNumber("first", First);
        json.WriteNumber("count", Count);
    }
}

public sealed partial class Sequential
{
    /// <summary>
    /// A range of channels, or of features. No module unless it has a name. PyTorch: <c>x[:, first:first + count]</c>; Keras:
    /// <c>Lambda</c>.
    /// </summary>
    /// <param name="first">First channel, from 0.</param>
    /// <param name="count">Number of channels.</param>
    /// <param name="name">Name of the layer, or null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Slice(int first, int count, string? name = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        return Add(new SliceLayer(first, count, name));
    }
}
