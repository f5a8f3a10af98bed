using MnistNative.Tests.Data;
using MnistNative.Tests.Files;
using static MnistNative.Tests.Cli.CommandRun;

namespace MnistNative.Tests.Cli;

/// <summary>The paths of <c>--save</c> and <c>--checkpoint</c> are tried before the training, not after it.</summary>
public sealed class TargetPathTests
{
    private static readonly string s_command = Path.Combine(AppContext.BaseDirectory, "MnistNative.Cli.dll");

    [Theory]
    [InlineData("--save")]
    [InlineData("--best")]
    [InlineData("--checkpoint")]
    public async Task WhatCannotBeWrittenEndsTheCommandBeforeTheTraining(string option)
    {
        using var folder = new TempFolder();
        IdxBytes.WriteDigits(folder.Path, train: 100, test: 20);
        await Refused(folder.Path, $"\"{folder.Path}\" is a folder");
        await Refused(folder.File(new string('n', 256)), "has 256 bytes, at most 255 are possible");
        await Refused(folder.File("no/model.safetensors"), $"The folder \"{folder.File("no")}\" does not exist");
        if (!OperatingSystem.IsWindows())
        {
            Assert.Equal(0, FileTool.Sh($"mkfifo '{folder.File("fifo")}'").Code);
            await Refused(folder.File("fifo"), "is a FIFO");
        }

        async Task Refused(string path, string reason)
        {
            int files = Directory.GetFileSystemEntries(folder.Path).Length;
            Output train = await Run([.. Train(folder), option, path]);
            Assert.Equal(1, train.ExitCode);
            Assert.Empty(train.Lines);
            Assert.StartsWith($"mnistnative: {option}: ", train.Error);
            Assert.Contains(reason, train.Error);
            Assert.Equal(files, Directory.GetFileSystemEntries(folder.Path).Length);
        }
    }

    [Fact]
    public async Task ANameOf255BytesIsWritten()
    {
        using var folder = new TempFolder();
        IdxBytes.WriteDigits(folder.Path, train: 100, test: 20);
        string path = folder.File(new string('n', 255));
        Output train = await Run([.. Train(folder), "--save", path]);
        Assert.Equal((0, ""), (train.ExitCode, train.Error));
        using Model model = Model.Load(path);
        Assert.Equal(10, model.OutputLength);
    }

    [Fact]
    public void AFolderWithoutPermissionIsNamedBeforeTheTraining()
    {
        Assert.SkipUnless(FileTool.CanBeNobody, FileTool.NobodySkips);
        using var folder = new TempFolder();
        IdxBytes.WriteDigits(folder.Path, train: 100, test: 20);
        string closed = folder.File("closed");
        Directory.CreateDirectory(closed);
        Assert.Equal(0, FileTool.Sh($"chmod 755 '{folder.Path}' && chmod 555 '{closed}' && chmod -R a+rX '{folder.Path}'").Code);
        (int code, string text) = FileTool.Sh(
            "DOTNET_CLI_HOME=/tmp setpriv --reuid=65534 --regid=65534 --clear-groups "
            + Words([.. Train(folder), "--save", Path.Combine(closed, "model.safetensors")]));
        Assert.Equal(1, code);
        Assert.StartsWith("mnistnative: --save: ", text);
        Assert.Contains($"no file can be made in the folder \"{closed}\"", text);
        Assert.DoesNotContain("epoch", text);
        Assert.Empty(Directory.GetFiles(closed));
    }

    [Fact]
    public void AFileThatIsMountedOnItsOwnGetsTheModel()
    {
        Assert.SkipUnless(FileTool.CanMount, FileTool.MountSkips);
        using var folder = new TempFolder();
        IdxBytes.WriteDigits(folder.Path, train: 100, test: 20);
        File.WriteAllText(folder.File("source"), "old");
        File.WriteAllText(folder.File("model"), "");
        (int code, string text) = FileTool.WithMounts($"""
            mount --bind '{folder.File("source")}' '{folder.File("model")}'
            {Words([.. Train(folder), "--save", folder.File("model")])}
            """);
        Assert.Equal(0, code);
        Assert.Contains("saved", text);
        using Model model = Model.Load(folder.File("source"));
        Assert.Equal(10, model.OutputLength);
    }

    private static string[] Train(TempFolder folder) =>
    [
        "train", "--device", "cpu", "--dataset", "mnist", "--data", folder.Path, "--network", "tower", "--epochs", "1",
    ];

    private static string Words(string[] args) => string.Join(' ', new[] { "dotnet", s_command }.Concat(args).Select(word => $"'{word}'"));
}
