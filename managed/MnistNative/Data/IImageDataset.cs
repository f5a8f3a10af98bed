namespace MnistNative;

/// <summary>
/// Labelled images that are read batch by batch. Implement it for data that does not fit in memory, or that is made
/// on the fly; for data in memory use <see cref="ImageDataset"/>.
/// </summary>
/// <remarks>
/// The library calls <see cref="Read"/> from one thread at a time, though not always the same thread. When a training or
/// evaluation is cancelled or fails while <see cref="Read"/> runs, that call is waited for a quarter of a second, then left
/// alone; only then may another training call <see cref="Read"/> beside it. The other members must give the same answers for
/// the lifetime of the object.
/// </remarks>
public interface IImageDataset
{
    /// <summary>The number of images, at least 1.</summary>
    int Count { get; }

    /// <summary>The shape that every image has.</summary>
    ImageShape Shape { get; }

    /// <summary>
    /// The number of classes; labels lie in 0 … <see cref="ClassCount"/> − 1, but for one that the loss ignores.
    /// </summary>
    int ClassCount { get; }

    /// <summary>Copies the images and labels at the given indices, in the order of the indices.</summary>
    /// <param name="indices">Positions in 0 … <see cref="Count"/> − 1, in any order; one may occur twice.</param>
    /// <param name="pixels">
    /// Receives the images as N×C×H×W, <c>indices.Length * Shape.Length</c> values, as the network's input expects
    /// them: by convention 0 to 1, before any normalisation that belongs to the network.
    /// </param>
    /// <param name="labels">Receives the labels, <c>indices.Length</c> values.</param>
    void Read(ReadOnlySpan<int> indices, Span<float> pixels, Span<int> labels);
}
