namespace MnistNative.IO;

/// <summary>The format of model files and checkpoints as a whole; the network's description has a version of its own.</summary>
internal static class FileFormat
{
    /// <summary>Where files say of which version they are.</summary>
    public const string MetadataKey = "mnistnative.format";

    /// <summary>
    /// The version that is written, and the newest that is read; it grows when an older library would misread a file. Files that
    /// do not say theirs are of version 1.
    /// </summary>
    public const int Version = 1;
}
