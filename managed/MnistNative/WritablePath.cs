using MnistNative.IO;

namespace MnistNative;

/// <summary>Tries paths that are written to later, so that a long training does not end in an error.</summary>
public static class WritablePath
{
    /// <summary>
    /// Throws unless a file can be saved at the path, as <see cref="Model.Save"/> does. Nothing is changed: a file that is
    /// there keeps its content. <see cref="Model.Fit"/> does this with <see cref="FitOptions.Checkpoint"/>.
    /// </summary>
    /// <param name="path">The file, which need not exist.</param>
    /// <param name="what">What the path is, for the text of the exception, for example <c>--save</c>.</param>
    /// <exception cref="ArgumentException">The path is empty.</exception>
    /// <exception cref="IOException">
    /// The path is that of a folder, FIFO, socket or disk, its folder does not exist, its name is too long, or its file
    /// system cannot be written.
    /// </exception>
    /// <exception cref="UnauthorizedAccessException">The file or its folder may not be written.</exception>
    public static void Check(string path, string what)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(what);
        try
        {
            AtomicFile.Check(path);
        }
        catch (DirectoryNotFoundException e)
        {
            throw new DirectoryNotFoundException($"{what}: {e.Message}", e);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new UnauthorizedAccessException($"{what}: {e.Message}", e);
        }
        catch (IOException e)
        {
            throw new IOException($"{what}: {e.Message}", e);
        }
    }
}
