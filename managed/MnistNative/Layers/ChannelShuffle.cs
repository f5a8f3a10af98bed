using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed record ChannelShuffleLayer(int Groups, string? Name) : Layer(CheckName(Name))
{
    public const string FileKind = "channel_shuffle";

    public override string Kind => FileKind;

    public override string Type => "ChannelShuffle";

    public static Layer Read(LayerReader json) => new ChannelShuffleLayer(json.Int("groups"), json.Name);

    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        var desc = new MnChannelShuffleDesc
        {
            StructSize = (uint)sizeof(MnChannelShuffleDesc),
            Groups = Groups,
        };
        int node;
        fixed (byte* text = Utf8.ToNative(name))
        {
            Native.Check(NativeMethods.GraphChannelShuffle(graph.Value, source, &desc, text, &node));
        }

        return node;
    }

    protected override void WriteParameters(Utf8JsonWriter json)
    {
        json.WriteNumber("groups", Groups);
    }
}

public sealed partial class Sequential
{
    /// <summary>
    /// Deals the channels out anew: they are taken as groups × (C / groups) and transposed, as in ShuffleNet. PyTorch:
    /// <c>nn.ChannelShuffle(groups)</c>; Keras: <c>Reshape</c> and <c>Permute</c>.
    /// </summary>
    /// <param name="groups">Number of groups, which divides the channels.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential ChannelShuffle(int groups, string? name = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(groups, 1);
        return Add(new ChannelShuffleLayer(groups, name));
    }
}
