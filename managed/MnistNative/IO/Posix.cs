using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace MnistNative.IO;

/// <summary>What stands at a path.</summary>
internal enum FileKind
{
    File,
    Folder,
    CharacterDevice,
    BlockDevice,
    Fifo,
    Socket,
    Other,
}

/// <summary>What a file system says about a file, as far as saving asks for it.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Mode">Permissions, with the bits for set-user-id, set-group-id and sticky.</param>
/// <param name="Owner">Id of the user.</param>
/// <param name="Group">Id of the group.</param>
/// <param name="Links">Number of names that the file has.</param>
/// <param name="Identity">Equal for two names of one file, and for no others.</param>
internal readonly record struct FileStatus(
    FileKind Kind, UnixFileMode Mode, uint Owner, uint Group, long Links, (ulong Device, ulong Inode) Identity);

/// <summary>The few calls of libc for which .NET has no method. Nothing here is called on Windows.</summary>
internal static unsafe partial class Posix
{
    private const int MaxPathBytes = 4096;
    private const string AccessList = "system.posix_acl_access";

    /// <summary>
    /// What stands at a path; null if nothing does, or if it cannot be told (an old system, a folder that may not be
    /// searched), where the calls that follow say what is wrong.
    /// </summary>
    /// <param name="path">The path.</param>
    /// <param name="follow">Whether of a symbolic link the target is meant.</param>
    public static FileStatus? Status(string path, bool follow)
    {
        const int currentFolder = -100;
        const int noFollow = 0x100;
        const uint basicStatistics = 0x7FF;
        try
        {
            if (OperatingSystem.IsLinux())
            {
                Statx status;
                return StatxCall(currentFolder, path, follow ? 0 : noFollow, basicStatistics, &status) == 0 ? From(status) : null;
            }

            if (OperatingSystem.IsMacOS())
            {
                MacStat status;
                bool arm = RuntimeInformation.ProcessArchitecture == Architecture.Arm64;
                int result = (arm, follow) switch
                {
                    (true, true) => MacStatArm(path, &status),
                    (true, false) => MacLinkStatArm(path, &status),
                    (false, true) => MacStatX64(path, &status),
                    (false, false) => MacLinkStatX64(path, &status),
                };
                return result == 0 ? From(status) : null;
            }
        }
        catch (EntryPointNotFoundException)
        {
            // A libc before statx (glibc before 2.28).
        }

        return null;
    }

    /// <summary>What an open file is; null if that cannot be told.</summary>
    public static FileStatus? Status(SafeFileHandle file)
    {
        const int ofTheHandle = 0x1000;
        const uint basicStatistics = 0x7FF;
        try
        {
            if (OperatingSystem.IsLinux())
            {
                Statx status;
                return StatxOfHandle(file, "", ofTheHandle, basicStatistics, &status) == 0 ? From(status) : null;
            }

            if (OperatingSystem.IsMacOS())
            {
                MacStat status;
                bool arm = RuntimeInformation.ProcessArchitecture == Architecture.Arm64;
                return (arm ? MacHandleStatArm(file, &status) : MacHandleStatX64(file, &status)) == 0 ? From(status) : null;
            }
        }
        catch (EntryPointNotFoundException)
        {
        }

        return null;
    }

    /// <summary>The folder's path without symbolic links and dots, as the system walks it.</summary>
    /// <exception cref="DirectoryNotFoundException">There is no such folder.</exception>
    /// <exception cref="UnauthorizedAccessException">The way to it may not be gone.</exception>
    public static string RealPath(string folder)
    {
        const int accessDenied = 13;
        byte* buffer = stackalloc byte[MaxPathBytes + 1];
        if (RealPathCall(folder, buffer) is not null)
        {
            return Interop.Utf8.FromNative(buffer);
        }

        throw Marshal.GetLastPInvokeError() == accessDenied
            ? new UnauthorizedAccessException($"The folder \"{folder}\" may not be used.")
            : new DirectoryNotFoundException($"The folder \"{folder}\" does not exist.");
    }

    /// <summary>
    /// Locks a file that is open for writing, for this handle alone. False: another handle has locked it. Null: the file system
    /// has no locks.
    /// </summary>
    /// <remarks>
    /// On Linux a lock of the open file description, which does not meet those that .NET takes (flock): while a file that was
    /// just renamed is still locked, it can be read.
    /// </remarks>
    public static bool? TryLock(SafeFileHandle file)
    {
        const int accessDenied = 13;
        int wouldBlock = OperatingSystem.IsLinux() ? 11 : 35;
        if (OperatingSystem.IsLinux())
        {
            const int setLockOfDescription = 37;
            var range = new LockRange { Type = 1 };
            if (FcntlLock(file, setLockOfDescription, &range) == 0)
            {
                return true;
            }
        }
        else
        {
            const int exclusiveWithoutWaiting = 2 | 4;
            if (Flock(file, exclusiveWithoutWaiting) == 0)
            {
                return true;
            }
        }

        int error = Marshal.GetLastPInvokeError();
        return error == wouldBlock || error == accessDenied ? false : null;
    }

    /// <summary>Gives an open file an owner and a group; false where that is not permitted.</summary>
    public static bool TryChangeOwner(SafeFileHandle file, uint owner, uint group) => Fchown(file, owner, group) == 0;

    /// <summary>
    /// Reserves a file's first bytes, so that writing them does not find the disk full. Nothing where the system cannot.
    /// </summary>
    /// <exception cref="IOException">The disk has not got so much space.</exception>
    public static void Reserve(SafeFileHandle file, long length)
    {
        const int noSpace = 28;
        const int quota = 122;
        if (OperatingSystem.IsLinux() && length > 0 && PosixFallocate(file, 0, length) is int error and (noSpace or quota))
        {
            throw new IOException(Marshal.GetPInvokeErrorMessage(error), error);
        }
    }

    /// <summary>Copies a file's access control list, if it has one (Linux). False: it has one that could not be copied.</summary>
    public static bool TryCopyAccessList(string from, SafeFileHandle to)
    {
        if (!OperatingSystem.IsLinux())
        {
            return true;
        }

        nint size = GetAttribute(from, AccessList, null, 0);
        if (size <= 0)
        {
            return true;
        }

        byte[] list = new byte[size];
        fixed (byte* pointer = list)
        {
            return GetAttribute(from, AccessList, pointer, size) == size && SetAttribute(to, AccessList, pointer, size, 0) == 0;
        }
    }

    /// <summary>Brings a folder's entries to the disk, as far as its file system does such things.</summary>
    public static void FlushFolder(string folder)
    {
        int closeOnExec = OperatingSystem.IsLinux() ? 0x80000 : 0x1000000;
        using var handle = new SafeFileHandle(Open(folder, closeOnExec), ownsHandle: true);
        if (handle.IsInvalid)
        {
            return;
        }

        try
        {
            RandomAccess.FlushToDisk(handle);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The file itself is on the disk, and whole.
        }
    }

    private static FileStatus From(in Statx status) => new(
        Kind(status.Mode),
        (UnixFileMode)(status.Mode & 0xFFF),
        status.Owner,
        status.Group,
        status.Links,
        (((ulong)status.DeviceMajor << 32) | status.DeviceMinor, status.Inode));

    private static FileStatus From(in MacStat status) => new(
        Kind(status.Mode),
        (UnixFileMode)(status.Mode & 0xFFF),
        status.Owner,
        status.Group,
        status.Links,
        ((uint)status.Device, status.Inode));

    private static FileKind Kind(int mode) => (mode & 0xF000) switch
    {
        0x8000 => FileKind.File,
        0x4000 => FileKind.Folder,
        0x2000 => FileKind.CharacterDevice,
        0x6000 => FileKind.BlockDevice,
        0x1000 => FileKind.Fifo,
        0xC000 => FileKind.Socket,
        _ => FileKind.Other,
    };

    // The kernel's struct statx, which is the same on every processor.
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    private struct Statx
    {
        [FieldOffset(16)]
        public uint Links;

        [FieldOffset(20)]
        public uint Owner;

        [FieldOffset(24)]
        public uint Group;

        [FieldOffset(28)]
        public ushort Mode;

        [FieldOffset(32)]
        public ulong Inode;

        [FieldOffset(136)]
        public uint DeviceMajor;

        [FieldOffset(140)]
        public uint DeviceMinor;
    }

    // Linux' struct flock on 64-bit processors; zeros mean the whole file.
    [StructLayout(LayoutKind.Sequential)]
    private struct LockRange
    {
        public short Type;
        public short Whence;
        public long Start;
        public long Length;
        public int Process;
    }

    // The struct stat of macOS with 64-bit inodes.
    [StructLayout(LayoutKind.Explicit, Size = 144)]
    private struct MacStat
    {
        [FieldOffset(0)]
        public int Device;

        [FieldOffset(4)]
        public ushort Mode;

        [FieldOffset(6)]
        public ushort Links;

        [FieldOffset(8)]
        public ulong Inode;

        [FieldOffset(16)]
        public uint Owner;

        [FieldOffset(20)]
        public uint Group;
    }

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int StatxCall(int folder, string path, int flags, uint mask, Statx* status);

    [LibraryImport("libc", EntryPoint = "stat", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int MacStatArm(string path, MacStat* status);

    [LibraryImport("libc", EntryPoint = "lstat", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int MacLinkStatArm(string path, MacStat* status);

    [LibraryImport("libc", EntryPoint = "stat$INODE64", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int MacStatX64(string path, MacStat* status);

    [LibraryImport("libc", EntryPoint = "lstat$INODE64", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int MacLinkStatX64(string path, MacStat* status);

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int StatxOfHandle(SafeFileHandle file, string path, int flags, uint mask, Statx* status);

    [LibraryImport("libc", EntryPoint = "fstat")]
    private static partial int MacHandleStatArm(SafeFileHandle file, MacStat* status);

    [LibraryImport("libc", EntryPoint = "fstat$INODE64")]
    private static partial int MacHandleStatX64(SafeFileHandle file, MacStat* status);

    [LibraryImport("libc", EntryPoint = "realpath", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial byte* RealPathCall(string path, byte* resolved);

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static partial int FcntlLock(SafeFileHandle file, int command, LockRange* range);

    [LibraryImport("libc", EntryPoint = "flock", SetLastError = true)]
    private static partial int Flock(SafeFileHandle file, int operation);

    [LibraryImport("libc", EntryPoint = "fchown")]
    private static partial int Fchown(SafeFileHandle file, uint owner, uint group);

    [LibraryImport("libc", EntryPoint = "posix_fallocate")]
    private static partial int PosixFallocate(SafeFileHandle file, long offset, long length);

    [LibraryImport("libc", EntryPoint = "getxattr", StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint GetAttribute(string path, string name, byte* value, nint size);

    [LibraryImport("libc", EntryPoint = "fsetxattr", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetAttribute(SafeFileHandle file, string name, byte* value, nint size, int flags);
}
