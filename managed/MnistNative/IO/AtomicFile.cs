namespace MnistNative.IO;

/// <summary>Writes a file so that at any moment there is either the old one or the new one, whole.</summary>
/// <remarks>
/// A file beside the target is filled, brought to the disk, and takes the target's name, owner and permissions; symbolic
/// links stay and lead to the new file. Where the name cannot be taken over — the file has several names (hard links), it is
/// mounted on its own, its owner cannot be kept, or its folder may not be written — the complete new file is copied into the
/// old one; a process that is killed while it copies leaves a part. Devices are written to, and never replaced.
/// </remarks>
internal static class AtomicFile
{
    private const int BufferBytes = 1 << 16;
    private const int MostWaits = 200;

    private static readonly TimeSpan s_wait = TimeSpan.FromMilliseconds(50);

    /// <summary>Lets <paramref name="write"/> fill the file. A failure leaves the old file as it was.</summary>
    /// <exception cref="IOException">The file cannot be written; the text names it.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be written; the text names it.</exception>
    public static void Write(string path, Action<Stream> write)
    {
        SaveTarget target = SaveTarget.Find(path);
        if (target.IsDevice)
        {
            using FileStream device = target.OpenInPlace();
            WriteAll(device, write);
            return;
        }

        bool exists = CheckOld(target, path);
        using TemporaryFile temporary = CreateTemporary(target, path, exists);
        try
        {
            WriteAll(temporary.Stream, write);
            bool moves = temporary.IsIn(target.Folder) && target.Status is not { Links: > 1 }
                && (!exists || TryTakeOver(target, temporary));
            temporary.Stream.Flush(flushToDisk: true);
            if (!moves || !TryMove(temporary, target, exists))
            {
                CopyInto(target, temporary, path);
            }
        }
        catch (IOException e) when (e.Message.Contains(temporary.Path, StringComparison.Ordinal) && !temporary.IsKept)
        {
            throw new IOException(e.Message.Replace(temporary.Path, target.Path, StringComparison.Ordinal), e);
        }

        if (!OperatingSystem.IsWindows())
        {
            Posix.FlushFolder(target.Folder);
        }
    }

    /// <summary>Tries whether <see cref="Write"/> could begin, and changes nothing.</summary>
    public static void Check(string path)
    {
        SaveTarget target = SaveTarget.Find(path);
        if (target.IsDevice)
        {
            target.OpenInPlace().Dispose();
            return;
        }

        CreateTemporary(target, path, CheckOld(target, path)).Dispose();
    }

    // Whether a file is there. One that may not be written is not replaced either.
    private static bool CheckOld(SaveTarget target, string path)
    {
        try
        {
            if (target.Exists)
            {
                target.OpenInPlace().Dispose();
                return true;
            }

            return false;
        }
        catch (UnauthorizedAccessException e)
        {
            throw new UnauthorizedAccessException($"\"{path}\" cannot be saved: the file is there and may not be written.", e);
        }
    }

    // Beside the target; where that is impossible, and a file is there to be written into, in the folder for such files.
    private static TemporaryFile CreateTemporary(SaveTarget target, string path, bool exists)
    {
        string name = Path.GetFileName(target.Path);
        try
        {
            return TemporaryFile.Create(target.Folder, name, isPrivate: exists);
        }
        catch (Exception e) when (exists && e is IOException or UnauthorizedAccessException)
        {
            return TemporaryFile.Create(Path.GetTempPath(), name, isPrivate: true);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new UnauthorizedAccessException(
                $"\"{path}\" cannot be saved: no file can be made in the folder \"{target.Folder}\".", e);
        }
        catch (IOException e) when (e is not DirectoryNotFoundException)
        {
            throw new IOException(
                $"\"{path}\" cannot be saved: no file can be made in the folder \"{target.Folder}\" ({Reason(e)}).", e);
        }
    }

    // What the system says, without the temporary file, which nobody asked for.
    private static string Reason(IOException e) => e.Message.Split(" : '")[0].TrimEnd('.');

    private static void WriteAll(FileStream stream, Action<Stream> write)
    {
        // No buffer in the file's own stream: one that a full disk did not take would be written again on closing.
        var buffered = new BufferedStream(stream, BufferBytes);
        write(buffered);
        buffered.Flush();
    }

    // Owner before permissions: a new owner costs the bits for set-user-id.
    private static bool TryTakeOver(SaveTarget target, TemporaryFile temporary)
    {
        if (OperatingSystem.IsWindows())
        {
            return true;
        }

        try
        {
            if (target.Status is { } status
                && Posix.Status(temporary.Stream.SafeFileHandle) is { } own
                && (own.Owner, own.Group) != (status.Owner, status.Group)
                && !Posix.TryChangeOwner(temporary.Stream.SafeFileHandle, status.Owner, status.Group))
            {
                return false;
            }

            File.SetUnixFileMode(temporary.Stream.SafeFileHandle, target.Status?.Mode ?? File.GetUnixFileMode(target.Path));
            return Posix.TryCopyAccessList(target.Path, temporary.Stream.SafeFileHandle);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    // False: the old file has to be written where it is. So it is with one that is mounted on its own.
    private static bool TryMove(TemporaryFile temporary, SaveTarget target, bool exists)
    {
        try
        {
            temporary.MoveTo(target.Path);
            return true;
        }
        catch (Exception e) when (exists && e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    // Whatever goes wrong here, the new file is complete: it is kept, and the text tells where.
    private static void CopyInto(SaveTarget target, TemporaryFile temporary, string path)
    {
        string state = "and is unchanged";
        try
        {
            using FileStream old = target.OpenInPlace();
            WaitForLock(old);
            long before = old.Length;
            try
            {
                if (!OperatingSystem.IsWindows())
                {
                    Posix.Reserve(old.SafeFileHandle, temporary.Stream.Length);
                }
            }
            catch (IOException)
            {
                old.SetLength(before);
                throw;
            }

            state = "or only in part";
            temporary.Stream.Position = 0;
            temporary.Stream.CopyTo(old, BufferBytes);
            old.SetLength(temporary.Stream.Length);
            old.Flush(flushToDisk: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            temporary.Keep();
            throw new IOException(
                $"\"{path}\" could not be written, {state}: {e.Message.TrimEnd('.')}. The new file is kept as \"{temporary.Path}\".", e);
        }
    }

    // Two saves into one file follow each other, but do not wait for ever.
    private static void WaitForLock(FileStream file)
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        for (int wait = 0; Posix.TryLock(file.SafeFileHandle) == false; wait++)
        {
            if (wait == MostWaits)
            {
                throw new IOException("another process is writing it");
            }

            Thread.Sleep(s_wait);
        }
    }
}
