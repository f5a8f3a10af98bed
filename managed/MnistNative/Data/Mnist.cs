namespace MnistNative;

/// <summary>
/// MNIST: 60,000 training and 10,000 test images of handwritten digits, 1×28×28 (LeCun, Cortes and Burges).
/// </summary>
public static class Mnist
{
    /// <summary>
    /// Loads MNIST from this machine, or downloads it (11 MB) into the user's cache folder on first use.
    /// </summary>
    /// <remarks>
    /// Without a folder, these places are looked in, and the first that has all four files is taken: the folder named
    /// by the environment variable <c>MNISTNATIVE_DATA</c> or its subfolder <c>mnist</c>; the user's cache folder
    /// (<c>$XDG_CACHE_HOME/mnistnative/mnist</c> or <c>~/.cache/mnistnative/mnist</c>; the local application data
    /// folder on Windows and macOS). Then the files are downloaded; an interrupted download is continued by the next
    /// call, and every file is checked against its known SHA-256 before it appears in the cache. Files may be plain or
    /// gzip, with <c>-idx</c> or <c>.idx</c> in their names.
    /// </remarks>
    /// <param name="folder">
    /// The folder that holds the files (or a subfolder <c>mnist</c> with them); nothing is downloaded then. Null looks
    /// in the usual places.
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
        new DatasetLoader(DatasetSource.Mnist).LoadAsync(folder, progress, cancellationToken);
}
