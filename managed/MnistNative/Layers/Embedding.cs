namespace MnistNative;

public sealed partial class Sequential
{
    /// <summary>
    /// Vectors for words: L whole numbers from 0 to count − 1, given as floats (bytes are refused, since they
    /// are divided by 255), become a D×L sequence for
    /// <see cref="Conv1d"/>; see <see cref="Input(int)"/>. Parameter: <c>weight</c> of count×D, drawn from N(0, 1).
    /// PyTorch: <c>nn.Embedding(count, D)</c> and <c>transpose(1, 2)</c>; Keras: <c>Embedding</c> and <c>Permute</c>.
    /// </summary>
    /// <param name="count">Number of words.</param>
    /// <param name="features">Length D of a vector.</param>
    /// <param name="name">Name of the layer; its index when null.</param>
    /// <returns>The longer network.</returns>
    public Sequential Embedding(int count, int features, string? name = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(features, 1);
        return Add(new EmbeddingLayer(count, features, name));
    }
}
