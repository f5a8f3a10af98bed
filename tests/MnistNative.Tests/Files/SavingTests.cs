using System.Diagnostics;
using System.Net.Sockets;
using System.Runtime.Versioning;
using MnistNative.IO;
using MnistNative.Tests.Api;
using MnistNative.Tests.Data;

namespace MnistNative.Tests.Files;

/// <summary>What saving does to links, devices, permissions, names, and to what was there before.</summary>
[UnsupportedOSPlatform("windows")]
public sealed class SavingTests
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    [Fact]
    public void LinksStayAndTheirTargetsAreWritten()
    {
        using var folder = new TempFolder();
        string real = folder.File("run7.safetensors");
        string link = folder.File("latest.safetensors");
        Directory.CreateDirectory(folder.File("deep/er"));
        Directory.CreateSymbolicLink(folder.File("short"), "deep/er");
        File.CreateSymbolicLink(link, "run7.safetensors");
        File.CreateSymbolicLink(folder.File("deep/er/chain"), "../../latest.safetensors");
        File.CreateSymbolicLink(folder.File("absolute"), folder.File("deep/er/chain"));
        float next = 0;
        foreach (string path in new[] { link, real, link, folder.File("deep/er/chain"), folder.File("short/chain"), folder.File("absolute") })
        {
            next++;
            WritablePath.Check(path, "test");
            Save(path, next);
            Assert.Equal(next, Load(real));
            Assert.Equal(next, Load(path));
        }

        Assert.Equal("run7.safetensors", new FileInfo(link).LinkTarget);
        Assert.Null(new FileInfo(real).LinkTarget);
        Assert.Equal(2, Directory.GetFiles(folder.File("deep/er")).Length + Directory.GetFiles(folder.Path, "run7*").Length);
        Assert.Empty(Directory.GetFiles(folder.Path, "*.tmp", SearchOption.AllDirectories));
    }

    [Fact]
    public void LinksInACircleAreRefused()
    {
        using var folder = new TempFolder();
        File.CreateSymbolicLink(folder.File("a"), "b");
        File.CreateSymbolicLink(folder.File("b"), "a");
        Refused<IOException>(folder.File("a"), "circle");
        Assert.Equal("b", new FileInfo(folder.File("a")).LinkTarget);
    }

    [Fact]
    public void ModeAndOwnerAreKept()
    {
        using var folder = new TempFolder();
        string path = folder.File("model.safetensors");
        Save(path, 1);
        UnixFileMode usual = File.GetUnixFileMode(path);
        Save(path, 2);
        Assert.Equal(usual, File.GetUnixFileMode(path));
        foreach (UnixFileMode mode in new[] { OwnerOnly, OwnerOnly | UnixFileMode.GroupRead, OwnerOnly | UnixFileMode.OtherWrite })
        {
            File.SetUnixFileMode(path, mode);
            Save(path, 3);
            Assert.Equal(mode, File.GetUnixFileMode(path));
            Assert.Equal(3, Load(path));
        }

        Assert.SkipUnless(Environment.IsPrivilegedProcess, "only root can give a file to another owner");
        Assert.Equal(0, FileTool.Sh($"chown 12345:54321 '{path}'").Code);
        Save(path, 4);
        FileStatus status = Posix.Status(path, follow: false)!.Value;
        Assert.Equal((12345u, 54321u), (status.Owner, status.Group));
        Assert.Equal(OwnerOnly | UnixFileMode.OtherWrite, File.GetUnixFileMode(path));
    }

    [Fact]
    public void AHardLinkIsNotCut()
    {
        using var folder = new TempFolder();
        string path = folder.File("model.safetensors");
        Save(path, 1);
        Assert.Equal(0, FileTool.Sh($"ln '{path}' '{folder.File("second")}'").Code);
        File.AppendAllText(path, new string(' ', 100_000));
        Save(path, 2);
        Assert.Equal(2, Load(folder.File("second")));
        Assert.Equal(2, Posix.Status(path, follow: false)!.Value.Links);
        Assert.Equal(2, Directory.GetFiles(folder.Path).Length);
    }

    [Fact]
    public void WhatIsNoFileIsRefusedByName()
    {
        using var folder = new TempFolder();
        Directory.CreateDirectory(folder.File("folder"));
        Assert.Equal(0, FileTool.Sh($"mkfifo '{folder.File("fifo")}'").Code);
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(folder.File("socket")));
        File.CreateSymbolicLink(folder.File("link"), "fifo");
        Refused<IOException>(folder.File("folder"), "a folder");
        Refused<IOException>(folder.File("folder/"), "a folder");
        Refused<IOException>(folder.File("fifo"), "a FIFO");
        Refused<IOException>(folder.File("link"), "a FIFO");
        Refused<IOException>(folder.File("socket"), "a socket");
        Refused<DirectoryNotFoundException>(folder.File("no/model"), "does not exist");
        Assert.Equal(FileKind.Fifo, Posix.Status(folder.File("fifo"), follow: false)!.Value.Kind);
        Assert.Equal(4, Directory.GetFileSystemEntries(folder.Path).Length);
    }

    [Fact]
    public void DevicesAreNeverReplaced()
    {
        using var folder = new TempFolder();
        string nothing = folder.File("null");
        string full = folder.File("full");
        string disk = folder.File("disk");
        (int code, string text) = FileTool.Sh($"mknod '{nothing}' c 1 3 && mknod '{full}' c 1 7 && mknod '{disk}' b 7 250 && : > '{nothing}'");
        Assert.SkipUnless(code == 0, $"this process may not make and use devices: {text}");
        Save(nothing, 1);
        Assert.Throws<IOException>(() => Save(full, 1));
        Refused<IOException>(disk, "a block device");
        Assert.Equal(FileKind.CharacterDevice, Posix.Status(nothing, follow: false)!.Value.Kind);
        Assert.Equal(FileKind.CharacterDevice, Posix.Status(full, follow: false)!.Value.Kind);
        Assert.Equal(FileKind.BlockDevice, Posix.Status(disk, follow: false)!.Value.Kind);
        Assert.Equal(3, Directory.GetFileSystemEntries(folder.Path).Length);
    }

    [Fact]
    public void NamesOfUpTo255BytesAreSaved()
    {
        using var folder = new TempFolder();
        foreach (string name in new[] { new string('a', 238), new string('b', 239), new string('c', 255), new string('ä', 127) + "x" })
        {
            WritablePath.Check(folder.File(name), "test");
            Save(folder.File(name), 1);
            Save(folder.File(name), 2);
            Assert.Equal(2, Load(folder.File(name)));
        }

        Assert.Equal(4, Directory.GetFiles(folder.Path).Length);
        Refused<IOException>(folder.File(new string('d', 256)), "256 bytes, at most 255");
        Refused<IOException>(folder.File(new string('ä', 128)), "256 bytes, at most 255");
    }

    [Fact]
    public void TwoNamesThatBeginAlikeHaveTemporaryFilesOfTheirOwn()
    {
        string start = new('a', 254);
        Assert.NotEqual(TemporaryFile.NameFor(start + "1", 0), TemporaryFile.NameFor(start + "2", 0));
        Assert.All([start + "1", new string('€', 85)], name => Assert.InRange(System.Text.Encoding.UTF8.GetByteCount(TemporaryFile.NameFor(name, 3)), 200, 255));
    }

    [Fact]
    public void WhatAKilledProcessLeftIsRemovedAndNothingElse()
    {
        using var folder = new TempFolder();
        string path = folder.File("model.safetensors");
        string victim = folder.File("victim");
        File.WriteAllText(victim, "mine");
        File.CreateSymbolicLink(path + ".mnistnative.tmp", "victim");
        File.WriteAllText(path + ".1.mnistnative.tmp", "left");
        File.WriteAllText(path + ".3.mnistnative.tmp", "left");
        File.WriteAllText(path + ".tmp", "mine");
        using (TemporaryFile busy = TemporaryFile.Create(folder.Path, "model.safetensors", isPrivate: false))
        {
            Assert.Equal(path + ".1.mnistnative.tmp", busy.Path);
            busy.Stream.Write("busy"u8);
            Save(path, 1);
            Assert.True(File.Exists(busy.Path));
            Assert.False(File.Exists(path + ".2.mnistnative.tmp"));
        }

        Assert.Equal(1, Load(path));
        Assert.Equal("mine", File.ReadAllText(victim));
        Assert.Equal(
            ["model.safetensors", "model.safetensors.mnistnative.tmp", "model.safetensors.tmp", "victim"],
            Directory.GetFiles(folder.Path).Select(file => Path.GetFileName(file)).Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void ThreadsThatSaveAtOnceLeaveOneWholeFile(bool hardLink)
    {
        using var folder = new TempFolder();
        string path = folder.File("model.safetensors");
        Save(path, 1);
        if (hardLink)
        {
            Assert.Equal(0, FileTool.Sh($"ln '{path}' '{folder.File("second")}'").Code);
        }

        Parallel.For(0, 8, new ParallelOptions { MaxDegreeOfParallelism = 8 }, i =>
        {
            for (int round = 0; round < 20; round++)
            {
                Save(path, (i * 20) + round);
            }
        });
        Load(path);
        Assert.Equal(hardLink ? 2 : 1, Directory.GetFiles(folder.Path).Length);
    }

    [Fact]
    public void AFailedSaveLeavesTheOldFile()
    {
        using var folder = new TempFolder();
        string path = folder.File("model.safetensors");
        foreach (bool hardLink in new[] { false, true })
        {
            File.WriteAllText(path, "old");
            if (hardLink)
            {
                Assert.Equal(0, FileTool.Sh($"ln '{path}' '{folder.File("second")}'").Code);
            }

            Assert.Equal("broken", Assert.Throws<IOException>(() => AtomicFile.Write(path, stream =>
            {
                stream.Write(new byte[1_000_000]);
                throw new IOException("broken");
            })).Message);
            Assert.Equal("old", File.ReadAllText(path));
            Assert.Equal(hardLink ? 2 : 1, Directory.GetFiles(folder.Path).Length);
        }
    }

    [Fact]
    public void TryingAPathChangesNothing()
    {
        using var folder = new TempFolder();
        string path = folder.File("model.safetensors");
        WritablePath.Check(path, "test");
        Assert.Empty(Directory.GetFileSystemEntries(folder.Path));
        File.WriteAllText(path, "old");
        DateTime written = File.GetLastWriteTimeUtc(path);
        WritablePath.Check(path, "test");
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Equal(written, File.GetLastWriteTimeUtc(path));
        Assert.Single(Directory.GetFileSystemEntries(folder.Path));
        Assert.Throws<ArgumentException>(() => WritablePath.Check("", "test"));
    }

    [Fact]
    public void ATrainingTriesItsCheckpointBeforeTheFirstBatch()
    {
        using var folder = new TempFolder();
        using Model model = Tiny.Network.Build();
        bool trained = false;
        var options = new FitOptions { Checkpoint = folder.File("no/checkpoint.safetensors"), OnBatch = _ => trained = true };
        DirectoryNotFoundException e = Assert.Throws<DirectoryNotFoundException>(() => model.Fit(Tiny.Bytes(10), options));
        Assert.Contains(folder.File("no"), e.Message);
        Assert.StartsWith("Checkpoint: ", e.Message);
        Assert.False(trained);
    }

    [Fact]
    public void FoldersAndFilesWithoutPermission()
    {
        Assert.SkipUnless(FileTool.CanBeNobody, FileTool.NobodySkips);
        using var folder = new TempFolder();
        string own = folder.File("own");
        string closed = folder.File("closed");
        Directory.CreateDirectory(own);
        Directory.CreateDirectory(closed);
        string model = Path.Combine(closed, "model.safetensors");
        string locked = Path.Combine(own, "locked.safetensors");
        Save(model, 1);
        Save(locked, 1);
        Assert.Equal(0, FileTool.Sh(
            $"chmod 755 '{folder.Path}' && chown -R 65534:65534 '{own}' '{closed}' && chmod 555 '{closed}' && chmod 444 '{locked}'").Code);
        foreach (string verb in new[] { "check", "save" })
        {
            // In a folder that may not be written a new file is refused, and one that is there is written in place.
            (int code, string text) = FileTool.AsNobody($"{verb} '{closed}/new.safetensors'");
            Assert.Equal(1, code);
            Assert.Contains("UnauthorizedAccessException", text);
            Assert.Contains($"no file can be made in the folder \"{closed}\"", text);
            Assert.DoesNotContain(".tmp", text);
            (code, text) = FileTool.AsNobody($"{verb} '{model}'");
            Assert.Equal((0, ""), (code, text));
            Assert.Equal(verb == "check" ? 1 : 2, Load(model));

            (code, text) = FileTool.AsNobody($"{verb} '{locked}'");
            Assert.Equal(1, code);
            Assert.Contains("UnauthorizedAccessException", text);
            Assert.Contains("may not be written", text);
            Assert.Equal(1, Load(locked));
        }

        Assert.Single(Directory.GetFiles(closed));
        Assert.Single(Directory.GetFiles(own));
    }

    [Fact]
    public void AFileOfAnotherOwnerKeepsItsOwner()
    {
        Assert.SkipUnless(FileTool.CanBeNobody, FileTool.NobodySkips);
        using var folder = new TempFolder();
        string path = folder.File("model.safetensors");
        Save(path, 1);
        Assert.Equal(0, FileTool.Sh($"chmod 777 '{folder.Path}' && chmod 666 '{path}'").Code);
        FileStatus before = Posix.Status(path, follow: false)!.Value;
        Assert.Equal((0, ""), FileTool.AsNobody($"save '{path}'"));
        Assert.Equal(2, Load(path));
        Assert.Equal(before, Posix.Status(path, follow: false)!.Value);
        Assert.Single(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void AFullDiskLeavesTheOldFile()
    {
        Assert.SkipUnless(FileTool.CanMount, FileTool.MountSkips);
        using var folder = new TempFolder();
        (int code, string text) = FileTool.WithMounts($"""
            mount -t tmpfs -o size=32k none '{folder.Path}'
            cd '{folder.Path}'
            echo old > model
            echo two > linked; ln linked second
            {FileTool.Command} save model || true
            {FileTool.Command} save linked || true
            cat model linked second
            ls
            """);
        Assert.Equal(0, code);
        Assert.Equal(2, text.Split("IOException: ").Length - 1);
        Assert.Contains($"{folder.Path}/model", text);
        Assert.DoesNotContain(".tmp", text);
        Assert.EndsWith("old\ntwo\ntwo\nlinked\nmodel\nsecond\n", text);
    }

    [Fact]
    public void AFileThatCannotBeOverwrittenIsKeptUnderAnotherName()
    {
        Assert.SkipUnless(FileTool.CanMount, FileTool.MountSkips);
        using var folder = new TempFolder();
        (int code, string text) = FileTool.WithMounts($"""
            mount -t tmpfs -o size=64k none '{folder.Path}'
            cd '{folder.Path}'
            echo old > linked; ln linked second
            {FileTool.Command} save linked || true
            {FileTool.Command} check linked
            cat linked second
            ls
            """);
        Assert.Equal(0, code);
        Assert.Contains("could not be written, and is unchanged: No space left on device", text);
        Assert.Contains($"The new file is kept as \"{folder.Path}/linked.mnistnative.kept\"", text);
        Assert.EndsWith("old\nold\nlinked\nlinked.mnistnative.kept\nsecond\n", text);
    }

    [Fact]
    public void AFileThatIsMountedOnItsOwnIsWrittenInPlace()
    {
        Assert.SkipUnless(FileTool.CanMount, FileTool.MountSkips);
        using var folder = new TempFolder();
        File.WriteAllText(folder.File("source"), new string('x', 100_000));
        File.WriteAllText(folder.File("model"), "");
        (int code, string text) = FileTool.WithMounts($"""
            mount --bind '{folder.File("source")}' '{folder.File("model")}'
            {FileTool.Command} check '{folder.File("model")}'
            {FileTool.Command} save '{folder.File("model")}'
            """);
        Assert.Equal((0, ""), (code, text));
        Assert.Equal(2, Load(folder.File("source")));
        Assert.Equal(2, Directory.GetFiles(folder.Path).Length);
    }

    [Fact]
    public void AFileSystemThatIsOnlyReadIsRefusedBeforehand()
    {
        Assert.SkipUnless(FileTool.CanMount, FileTool.MountSkips);
        using var folder = new TempFolder();
        Save(folder.File("model"), 1);
        (int code, string text) = FileTool.WithMounts($"""
            mount --bind '{folder.Path}' '{folder.Path}'
            mount -o remount,ro,bind '{folder.Path}'
            {FileTool.Command} check '{folder.File("model")}' || true
            {FileTool.Command} save '{folder.File("model")}' || true
            {FileTool.Command} check '{folder.File("new")}' || true
            """);
        Assert.Equal(0, code);
        Assert.Equal(3, text.Split("ead-only file system").Length - 1);
        Assert.DoesNotContain(".tmp", text);
        Assert.Equal(1, Load(folder.File("model")));
    }

    /// <summary>MNISTNATIVE_KILLS is how often a process is killed; 12 unless set.</summary>
    [Fact]
    public void AKilledProcessLeavesAWholeFileAndAtMostOneOther()
    {
        const int size = 700;
        using var folder = new TempFolder();
        string path = folder.File("model.safetensors");
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        int kills = int.Parse(Environment.GetEnvironmentVariable("MNISTNATIVE_KILLS") ?? "12", System.Globalization.CultureInfo.InvariantCulture);
        for (int kill = 0; kill < kills; kill++)
        {
            using (Process process = FileTool.Start("loop", path, $"{size}"))
            {
                Assert.Equal("1", process.StandardOutput.ReadLine());
                Thread.Sleep(random.Next(60));
                process.Kill();
                process.WaitForExit();
            }

            using (Model model = Model.Load(path))
            {
                float[] values = model.GetParameter("0.weight");
                Assert.True(size * size == values.Length && values.All(value => value == values[0]), $"seed {seed}, kill {kill}");
            }

            Assert.InRange(Directory.GetFiles(folder.Path).Length, 1, 2);
        }

        Save(path, 1);
        Assert.Equal([path], Directory.GetFiles(folder.Path));
    }

    private static void Save(string path, float value)
    {
        using Model model = Sequential.Input(2).Linear(2).Build();
        model.SetParameter("0.weight", [value, value, value, value]);
        model.Save(path);
    }

    private static float Load(string path)
    {
        using Model model = Model.Load(path);
        float[] values = model.GetParameter(model.Parameters[0].Name);
        Assert.All(values, value => Assert.Equal(values[0], value));
        return values[0];
    }

    private static void Refused<T>(string path, string fragment)
        where T : Exception
    {
        Assert.Contains(fragment, Assert.ThrowsAny<T>(() => Save(path, 1)).Message);
        Exception e = Assert.ThrowsAny<T>(() => WritablePath.Check(path, "--save"));
        Assert.StartsWith("--save: ", e.Message);
        Assert.Contains(fragment, e.Message);
    }
}
