namespace MnistNative;

/// <summary>
/// Fashion-MNIST: 60,000 training and 10,000 test images of articles of clothing, 1×28×28, in the format of MNIST
/// (Xiao, Rasul and Vollgraf, 2017).
/// </summary>
public static class FashionMnist
{
    /// <summary>The names of the ten classes, by label.</summary>
    public static IReadOnlyList<string> ClassNames { get; } =
    [
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ];

    /// <summary>
    /// Loads Fashion-MNIST from this machine, or downloads it (30 MB) into the user's cache folder on first use.
    /// </summary>
    /// <remarks>
    /// Without a folder, these places are looked in, and the first that has all four files is taken: the folder named
    /// by the environment variable <c>MNISTNATIVE_DATA</c> or its subfolder <c>fashion-mnist</c>; the user's cache
    /// folder (<c>$XDG_CACHE_HOME/mnistnative/fashion-mnist</c> or <c>~/.cache/mnistnative/fashion-mnist</c>; the local
    /// application data folder on Windows and macOS); the folder of Debian's package <c>dataset-fashion-mnist</c>. Then
    /// the files are downloaded; an interrupted download is continued by the next call, and every file is checked
    /// against its known SHA-256 before it appears in the cache. Files may be plain or gzip, with <c>-idx</c> or
    /// <c>.idx</c> in their names.
    /// </remarks>
    /// <param name="folder">
    /// The folder that holds the files (or a subfolder <c>fashion-mnist</c> with them); nothing is downloaded then.
    /// Null looks in the usual places.
    /// </param>
    /// <param name="progress">Told about a download about ten times a second.</param>
    /// <param name="cancellationToken">Ends the work early; what was downloaded so far is kept for the next call.</param>
    /// <returns>The training and the test images, as bytes, with ten classes.</returns>
    /// <exception cref="FileNotFoundException">The given folder lacks files; the message names them.</exception>
    /// <exception cref="DirectoryNotFoundException">The given folder does not exist.</exception>
    /// <exception cref="InvalidDataException">A file is damaged or belongs to another data set.</exception>
    /// <exception cref="DatasetUnavailableException">No place has the files and no download succeeded.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public static Task<MnistData> LoadAsync(
        string? folder = null,
        IProgress<DownloadProgress>? progress = null,
        CancellationToken cancellationToken = default) =>
        new DatasetLoader(DatasetSource.FashionMnist).LoadAsync(folder, progress, cancellationToken);
}
