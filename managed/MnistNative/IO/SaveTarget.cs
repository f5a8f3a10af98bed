using System.Text;

namespace MnistNative.IO;

/// <summary>The file that a save to some path goes to: the end of all symbolic links, and what stands there.</summary>
/// <param name="Path">The file itself, not a link to it.</param>
/// <param name="Status">What stands there; null where nothing does, and where the system does not tell.</param>
/// <param name="IsDevice">Whether it is a character device, such as <c>/dev/null</c>, which is written to and never replaced.</param>
internal sealed record SaveTarget(string Path, FileStatus? Status, bool IsDevice)
{
    private const int MostLinks = 40;
    private const int MostNameBytes = 255;

    /// <summary>Finds the target.</summary>
    /// <exception cref="IOException">
    /// Nothing can be saved there: it is a folder, a FIFO, a socket or a disk, or its links go in a circle; its name is too
    /// long, or its folder does not exist.
    /// </exception>
    public static SaveTarget Find(string path)
    {
        string full = System.IO.Path.GetFullPath(path);
        if (OperatingSystem.IsWindows())
        {
            return FindOnWindows(path, full);
        }

        // What a link in /proc leads to has no path: its kind counts, not its text.
        if (Posix.Status(full, follow: true) is { Kind: not FileKind.File } special)
        {
            return special.Kind == FileKind.CharacterDevice
                ? new SaveTarget(full, special, IsDevice: true)
                : throw new IOException($"\"{path}\" is {NameOf(special.Kind)}, and a file can only be saved under the name of a file.");
        }

        for (int links = 0; links < MostLinks; links++)
        {
            string name = System.IO.Path.GetFileName(full);
            string? parent = System.IO.Path.GetDirectoryName(full);
            if (name is "" or "." or ".." || parent is null)
            {
                throw new IOException($"\"{path}\" is a folder, and a file can only be saved under the name of a file.");
            }

            if (Encoding.UTF8.GetByteCount(name) > MostNameBytes)
            {
                throw new PathTooLongException(
                    $"\"{path}\" cannot be saved: the name \"{name}\" has {Encoding.UTF8.GetByteCount(name)} bytes, "
                    + $"at most {MostNameBytes} are possible.");
            }

            string folder = Posix.RealPath(parent);
            full = System.IO.Path.Combine(folder, name);
            if (new FileInfo(full).LinkTarget is not string target)
            {
                return new SaveTarget(full, Posix.Status(full, follow: false), IsDevice: false);
            }

            full = System.IO.Path.Combine(folder, target);
        }

        throw new IOException($"\"{path}\" cannot be saved: its symbolic links go in a circle, or there are more than {MostLinks}.");
    }

    private static SaveTarget FindOnWindows(string path, string full)
    {
        // What the names NUL, CON, COM1 … become.
        if (full.StartsWith(@"\\.\", StringComparison.Ordinal))
        {
            return new SaveTarget(full, null, IsDevice: true);
        }

        if (Directory.Exists(full) || System.IO.Path.GetFileName(full).Length == 0)
        {
            throw new IOException($"\"{path}\" is a folder, and a file can only be saved under the name of a file.");
        }

        if (new FileInfo(full).LinkTarget is not null && File.ResolveLinkTarget(full, returnFinalTarget: true) is { } end)
        {
            full = end.FullName;
        }

        return Directory.Exists(System.IO.Path.GetDirectoryName(full))
            ? new SaveTarget(full, null, IsDevice: false)
            : throw new DirectoryNotFoundException($"The folder \"{System.IO.Path.GetDirectoryName(full)}\" does not exist.");
    }

    private static string NameOf(FileKind kind) => kind switch
    {
        FileKind.Folder => "a folder",
        FileKind.BlockDevice => "a block device",
        FileKind.Fifo => "a FIFO",
        FileKind.Socket => "a socket",
        _ => "no file",
    };

    /// <summary>Whether a file, which may be replaced, stands there.</summary>
    public bool Exists => Status is not null || File.Exists(Path);

    /// <summary>The folder that the file is in.</summary>
    public string Folder => System.IO.Path.GetDirectoryName(Path)!;

    /// <summary>
    /// Opens the file to be written from its beginning, as it is: nothing of it is cut off yet. One that may not be written
    /// says so here.
    /// </summary>
    public FileStream OpenInPlace() => new(Path, new FileStreamOptions
    {
        Mode = FileMode.Open,
        Access = FileAccess.Write,
        Share = FileShare.ReadWrite | FileShare.Delete,
        BufferSize = 0,
    });
}
