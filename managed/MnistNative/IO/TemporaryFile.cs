using System.Security.Cryptography;
using System.Text;

namespace MnistNative.IO;

/// <summary>
/// The file beside a target that a save fills before it takes the target's name: <c>X.mnistnative.tmp</c>. It is locked as
/// long as it is written, so that a save finds what a killed process left behind, and takes it away, and leaves alone what
/// another process is writing.
/// </summary>
internal sealed class TemporaryFile : IDisposable
{
    private const string Extension = ".mnistnative.tmp";
    private const int MostNameBytes = 255;

    /// <summary>Saves of one target at the same time that have names of their own.</summary>
    private const int Slots = 8;

    private TemporaryFile(string path, FileStream stream) => (Path, Stream) = (path, stream);

    public string Path { get; private set; }

    /// <summary>The open file, which has no buffer of its own.</summary>
    public FileStream Stream { get; }

    /// <summary>Whether the file stays when this object is disposed.</summary>
    public bool IsKept { get; private set; }

    /// <summary>Whether it can take a name in that folder.</summary>
    public bool IsIn(string folder) => System.IO.Path.GetDirectoryName(Path) == folder;

    /// <summary>Makes the file, empty, and removes what earlier saves of the same target left behind.</summary>
    /// <param name="folder">Where it shall be.</param>
    /// <param name="name">Name of the target.</param>
    /// <param name="isPrivate">Whether only its owner may read it, until it is given other permissions.</param>
    /// <exception cref="IOException">It cannot be made.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder may not be written.</exception>
    public static TemporaryFile Create(string folder, string name, bool isPrivate)
    {
        TemporaryFile? file = null;
        try
        {
            for (int slot = 0; slot < Slots; slot++)
            {
                string path = System.IO.Path.Combine(folder, NameFor(name, slot));
                if (!RemoveLeftover(path))
                {
                    continue;
                }

                file ??= TryCreate(path, isPrivate);
            }

            // Every name is in use, or what stands there is not ours to remove.
            return file
                ?? TryCreate(System.IO.Path.Combine(folder, NameFor(name, RandomNumberGenerator.GetInt32(Slots, int.MaxValue))), isPrivate)
                ?? throw new IOException($"No temporary file could be made in \"{folder}\".");
        }
        catch
        {
            file?.Dispose();
            throw;
        }
    }

    /// <summary>The name beside a target: its own and an extension, cut and with a hash where that would be too long.</summary>
    internal static string NameFor(string name, int slot)
    {
        string extension = slot == 0 ? Extension : $".{slot}{Extension}";
        if (Encoding.UTF8.GetByteCount(name) + extension.Length <= MostNameBytes)
        {
            return name + extension;
        }

        string hash = Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(name)).AsSpan(0, 8));
        var start = new StringBuilder();
        int bytes = 1 + hash.Length + extension.Length;
        foreach (Rune rune in name.EnumerateRunes())
        {
            bytes += rune.Utf8SequenceLength;
            if (bytes > MostNameBytes)
            {
                break;
            }

            start.Append(rune.ToString());
        }

        return $"{start}.{hash}{extension}";
    }

    /// <summary>Lets the file take the target's name, whose place it takes. Only then is it closed.</summary>
    public void MoveTo(string target)
    {
        File.Move(Path, target, overwrite: true);
        IsKept = true;
    }

    /// <summary>Leaves the file, under a name that the next save does not remove: <c>X.mnistnative.kept</c>.</summary>
    public void Keep()
    {
        IsKept = true;
        string kept = System.IO.Path.ChangeExtension(Path, ".kept");
        try
        {
            File.Move(Path, kept, overwrite: true);
            Path = kept;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It keeps its first name.
        }
    }

    /// <summary>Closes the file, and removes it unless it was moved or is kept.</summary>
    public void Dispose()
    {
        if (!IsKept)
        {
            TryDelete(Path);
        }

        Stream.Dispose();
    }

    // True if nothing stands there any more.
    private static bool RemoveLeftover(string path)
    {
        var info = new FileInfo(path);
        if (!info.Exists && info.LinkTarget is null)
        {
            return true;
        }

        if (info.LinkTarget is not null || (!OperatingSystem.IsWindows() && Posix.Status(path, follow: false) is { Kind: not FileKind.File }))
        {
            return false;
        }

        try
        {
            using FileStream stream = Open(path, FileMode.Open, FileAccess.ReadWrite, isPrivate: false);
            bool isDead = OperatingSystem.IsWindows()
                || (Posix.TryLock(stream.SafeFileHandle) == true && HasName(path, stream));
            if (!isDead)
            {
                return false;
            }

            File.Delete(path);
            return true;
        }
        catch (FileNotFoundException)
        {
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static TemporaryFile? TryCreate(string path, bool isPrivate)
    {
        FileStream stream;
        try
        {
            stream = Open(path, FileMode.CreateNew, FileAccess.ReadWrite, isPrivate);
        }
        catch (IOException e) when (e is not (DirectoryNotFoundException or PathTooLongException) && File.Exists(path))
        {
            // Another process was quicker.
            return null;
        }

        // Without locks the file's being new has to do. What is not ours the other process removes, or the next save.
        if (OperatingSystem.IsWindows() || Posix.TryLock(stream.SafeFileHandle) is not bool locked
            || (locked && HasName(path, stream)))
        {
            return new TemporaryFile(path, stream);
        }

        stream.Dispose();
        return null;
    }

    // Whoever had the lock before may have moved or removed the file.
    private static bool HasName(string path, FileStream stream) =>
        Posix.Status(stream.SafeFileHandle)?.Identity == Posix.Status(path, follow: false)?.Identity;

    // On Windows opening is locking: a second handle that writes is refused. Elsewhere the lock is taken afterwards.
    private static FileStream Open(string path, FileMode mode, FileAccess access, bool isPrivate)
    {
        var options = new FileStreamOptions
        {
            Mode = mode,
            Access = access,
            Share = OperatingSystem.IsWindows() ? FileShare.Delete : FileShare.ReadWrite | FileShare.Delete,
            BufferSize = 0,
        };
        if (isPrivate && !OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        return new FileStream(path, options);
    }

    private static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The next save tries again.
        }
    }
}
