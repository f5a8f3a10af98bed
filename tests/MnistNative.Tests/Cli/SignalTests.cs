using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using MnistNative.Tests.Data;

namespace MnistNative.Tests.Cli;

/// <summary>The command as a process of its own that gets signals.</summary>
public sealed class SignalTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    [Theory]
    [InlineData("TERM", 143)]
    [InlineData("INT", 130)]
    public async Task ACommandThatBlocksEnds(string signal, int exitCode)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() || OperatingSystem.IsMacOS(), "there are no FIFOs");
        using var folder = new TempFolder();
        string fifo = MakeFifo(folder, "fifo");
        string model = CommandRun.SaveTower(folder);
        IdxBytes.WriteDigits(folder.Path, train: 20, test: 20);
        string images = Directory.GetFiles(folder.Path, "t10k-images*").Single();
        File.Move(images, images + ".regular");
        MakeFifo(folder, Path.GetFileName(images));
        string[][] commands =
        [
            ["eval", "--device", "cpu", "--json", "--model", fifo],
            ["eval", "--device", "cpu", "--json", "--model", model, "--dataset", "mnist", "--data", folder.Path],
            ["train", "--device", "cpu", "--json", "--dataset", "mnist", "--data", folder.Path],
            ["train", "--device", "cpu", "--json", "--dataset", "digits", "--resume", fifo],
            ["predict", "--device", "cpu", "--json", "--model", fifo, "image.png"],
            ["predict", "--device", "cpu", "--json", "--model", model, fifo],
        ];
        await Task.WhenAll(commands.Select(async command =>
        {
            using Process process = Start(command);
            await WaitUntilBlocked(process);
            Assert.Equal(exitCode, await Signal(process, signal));
            Assert.Equal("interrupted", await LastEvent(process));
        }));
    }

    [Fact]
    public async Task ADownloadEnds()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() || OperatingSystem.IsMacOS(), "there are no signals");
        using var folder = new TempFolder();

        // Accepts connections, and answers nothing.
        using var server = new TcpListener(IPAddress.Loopback, 0);
        server.Start();
        using Process process = Start(
            ["train", "--device", "cpu", "--json", "--dataset", "mnist"],
            ("MNISTNATIVE_DATA", folder.Path),
            ("https_proxy", $"http://{server.LocalEndpoint}"),
            ("http_proxy", $"http://{server.LocalEndpoint}"));
        using TcpClient client = await server.AcceptTcpClientAsync().WaitAsync(s_patience);
        Assert.Equal(143, await Signal(process, "TERM"));
        Assert.Equal("interrupted", await LastEvent(process));
    }

    [Fact]
    public async Task ATrainingSaves()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() || OperatingSystem.IsMacOS(), "there are no signals");
        using var folder = new TempFolder();
        IdxBytes.WriteDigits(folder.Path, train: 200, test: 20);
        string saved = folder.File("model.safetensors");
        using Process process = Start(
        [
            "train", "--device", "cpu", "--json", "--dataset", "mnist", "--data", folder.Path, "--network", "tower",
            "--epochs", "1000000", "--save", saved,
        ]);
        Assert.Contains("\"epoch\"", await process.StandardOutput.ReadLineAsync().WaitAsync(s_patience));
        Assert.Equal(143, await Signal(process, "TERM"));
        Assert.Equal("interrupted", await LastEvent(process));
        using Model model = Model.Load(saved);
        Assert.Equal(10, model.OutputLength);
    }

    private static Process Start(string[] args, params (string Name, string Value)[] environment)
    {
        string command = Path.Combine(AppContext.BaseDirectory, "MnistNative.Cli.dll");
        Assert.SkipUnless(File.Exists(command), "the command line does not lie beside the tests");

        // Whoever started the tests in the background may have them ignore SIGINT, which a child inherits.
        string[] program = OperatingSystem.IsLinux() ? ["env", "--default-signal=INT", "dotnet"] : ["dotnet"];
        var start = new ProcessStartInfo(program[0], [.. program[1..], command, .. args])
        {
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        };
        foreach ((string name, string value) in environment)
        {
            start.Environment[name] = value;
        }

        return Process.Start(start)!;
    }

    private static string MakeFifo(TempFolder folder, string name)
    {
        using Process make = Process.Start("mkfifo", [folder.File(name)]);
        make.WaitForExit();
        Assert.Equal(0, make.ExitCode);
        return folder.File(name);
    }

    // Until the process has computed and then does nothing for a while.
    private static async Task WaitUntilBlocked(Process process)
    {
        TimeSpan before = TimeSpan.Zero;
        for (Stopwatch idle = Stopwatch.StartNew(); idle.Elapsed < TimeSpan.FromSeconds(1.5); await Task.Delay(100))
        {
            process.Refresh();
            Assert.False(process.HasExited, $"{string.Join(' ', process.StartInfo.ArgumentList)} ended by itself");
            TimeSpan used = process.TotalProcessorTime;
            if (used - before > TimeSpan.FromMilliseconds(20))
            {
                before = used;
                idle.Restart();
            }
        }
    }

    private static async Task<int> Signal(Process process, string signal)
    {
        using (Process kill = Process.Start("kill", [$"-{signal}", $"{process.Id}"]))
        {
            await kill.WaitForExitAsync();
        }

        using var patience = new CancellationTokenSource(s_patience);
        try
        {
            await process.WaitForExitAsync(patience.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            Assert.Fail($"SIG{signal} did not end {string.Join(' ', process.StartInfo.ArgumentList)}");
        }

        return process.ExitCode;
    }

    private static async Task<string?> LastEvent(Process process)
    {
        string[] lines = (await process.StandardOutput.ReadToEndAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        return JsonDocument.Parse(lines[^1]).RootElement.GetProperty("event").GetString();
    }
}
