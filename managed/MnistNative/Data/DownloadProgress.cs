namespace MnistNative;

/// <summary>How far the download of a data set has come.</summary>
/// <param name="FileName">The file being fetched.</param>
/// <param name="FileIndex">Its position among the files that are missing, from 0.</param>
/// <param name="FileCount">How many files are missing.</param>
/// <param name="BytesReceived">Bytes of this file that are here, those of an earlier attempt included.</param>
/// <param name="TotalBytes">Size of the file as the server announced it; null when it did not.</param>
public readonly record struct DownloadProgress(
    string FileName, int FileIndex, int FileCount, long BytesReceived, long? TotalBytes)
{
    /// <summary>The finished share of this file, 0 to 1; null when its size is unknown.</summary>
    public double? Fraction => TotalBytes is > 0 ? Math.Min(1.0, (double)BytesReceived / TotalBytes.Value) : null;
}
