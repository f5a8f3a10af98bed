namespace MnistNative;

internal sealed partial record SliceLayer
{
    public override bool IsModule => Name is not null;
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
