namespace MnistNative;

/// <summary>Options of a model for special purposes. Immutable.</summary>
public sealed record ModelOptions
{
    /// <summary>
    /// Whether chains of layers run as one where that is possible, such as convolution, ReLU and max pooling. False
    /// runs every layer on its own, for comparison.
    /// </summary>
    public bool Fusion { get; init; } = true;

    /// <summary>
    /// Most images that inference takes at once; 0 lets the library choose. Larger batches run in pieces, with the
    /// same results.
    /// </summary>
    public int InferenceBatch { get; init; }

    /// <summary>
    /// How products are computed, in inference and training. The processor computes with
    /// <see cref="Precision.Float32"/> only, a card from compute capability 8.0 with all of them;
    /// <see cref="DeviceInfo.Precisions"/> tells.
    /// </summary>
    public Precision Precision { get; init; }

    /// <summary>Whether parameters have first values: not where a file's are to follow at once.</summary>
    internal bool DrawParameters { get; init; } = true;
}
