using System.Globalization;

namespace MnistNative;

/// <summary>The shape of one image: channels, height and width, in this order in memory (C×H×W).</summary>
/// <param name="Channels">Number of channels: 1 for grey images, 3 for colour.</param>
/// <param name="Height">Number of rows, in pixels.</param>
/// <param name="Width">Number of columns, in pixels.</param>
public readonly record struct ImageShape(int Channels, int Height, int Width)
{
    /// <summary>The number of values in one image: channels × height × width.</summary>
    /// <exception cref="OverflowException">The product does not fit an <see cref="int"/>.</exception>
    public int Length => checked(Channels * Height * Width);

    /// <summary>The shape as text, for example <c>1×28×28</c>.</summary>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Channels}×{Height}×{Width}");

    /// <summary>Throws when a dimension is not positive or the product does not fit an int.</summary>
    internal void Validate(string paramName)
    {
        if (Channels < 1 || Height < 1 || Width < 1)
        {
            throw new ArgumentException($"An image shape needs positive dimensions, got {this}.", paramName);
        }

        if ((long)Channels * Height > int.MaxValue || (long)Channels * Height * Width > int.MaxValue)
        {
            throw new ArgumentException(
                $"An image may hold at most {int.MaxValue} values, the shape {this} has more.", paramName);
        }
    }
}
