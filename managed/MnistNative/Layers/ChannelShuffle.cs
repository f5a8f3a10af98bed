namespace MnistNative;

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
