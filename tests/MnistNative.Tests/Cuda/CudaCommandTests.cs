using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;
using MnistNative.Tests.Data;

namespace MnistNative.Tests.Cuda;

/// <summary>What the command line says and does where a card can be used, or why it cannot; each in a process of its own.</summary>
public sealed class CudaCommandTests
{
    private const string PluginVariable = "MNISTNATIVE_CUDA_PLUGIN";

    private static readonly Dictionary<DeviceUnavailableReason, (string Name, string Value)> s_provoked = new()
    {
        [DeviceUnavailableReason.NoPlugin] = (PluginVariable, "/no/such/plugin.so"),
        [DeviceUnavailableReason.PluginMismatch] = (PluginVariable, Path.Combine(CudaUnderTest.StandIns, "libcuda.so.1")),
        [DeviceUnavailableReason.NoDriver] = (CudaUnderTest.LibrariesVariable, Path.Combine(CudaUnderTest.Emulation, "nothing")),
        [DeviceUnavailableReason.DriverTooOld] = (CudaUnderTest.LibrariesVariable, Path.Combine(CudaUnderTest.Emulation, "old")),
        [DeviceUnavailableReason.NoDevice] = ("CUDA_EMULATION_DEVICES", "0"),
        [DeviceUnavailableReason.Architecture] = ("CUDA_EMULATION_COMPUTE", "61"),
        [DeviceUnavailableReason.LibraryMissing] =
            (CudaUnderTest.LibrariesVariable, Path.Combine(CudaUnderTest.Emulation, "driver_only")),
    };

    public static TheoryData<DeviceUnavailableReason> Reasons => [.. s_provoked.Keys];

    [Theory]
    [MemberData(nameof(Reasons))]
    public async Task EachReasonIsNamed(DeviceUnavailableReason reason)
    {
        Assert.SkipWhen(CudaUnderTest.Missing is not null, CudaUnderTest.Missing ?? "");
        Dictionary<string, string> environment = new() { [CudaUnderTest.LibrariesVariable] = CudaUnderTest.StandIns };
        (string name, string value) = s_provoked[reason];
        environment[name] = value;
        await AssertRefused(reason, environment);
    }

    [Fact]
    public async Task ThisComputersDriverIsAsked()
    {
        Assert.SkipUnless(File.Exists(Device.CudaPluginPath), "the CUDA plugin was not built, for want of a CUDA toolkit");
        bool installed = NativeLibrary.TryLoad("libcuda.so.1", out _);
        Output info = await Run([], "info", "--json");
        Assert.SkipWhen(info.Json[2].GetProperty("available").GetBoolean(), "this computer has a card that can be used");
        await AssertRefused(installed ? DeviceUnavailableReason.NoDevice : DeviceUnavailableReason.NoDriver, []);
    }

    [Fact]
    public async Task ACardIsTakenWhereThereIsOne()
    {
        Assert.SkipWhen(CudaUnderTest.Missing is not null, CudaUnderTest.Missing ?? "");
        Dictionary<string, string> environment = new() { [CudaUnderTest.LibrariesVariable] = CudaUnderTest.StandIns };
        Output info = await Run(environment, "info", "--json");
        JsonElement card = info.Json[2];
        Assert.True(card.GetProperty("available").GetBoolean());
        Assert.Equal(Device.CudaPluginPath, card.GetProperty("plugin_path").GetString());
        Assert.Contains(card.GetProperty("libraries").EnumerateArray(), library => library.GetString()!.StartsWith(CudaUnderTest.StandIns, StringComparison.Ordinal));

        using var folder = new TempFolder();
        IdxBytes.WriteDigits(folder.Path, train: 300, test: 10);
        string[] train = ["train", "--dataset", "mnist", "--data", folder.Path, "--network", "lenet", "--epochs", "1"];
        Output trained = await Run(environment, train);
        Assert.Equal((0, ""), (trained.ExitCode, trained.Error));
        Assert.Contains("cuda:0: Emulated device 0", trained.Lines[0]);

        environment["CUDA_EMULATION_MEMORY"] = "9500000";
        Output refused = await Run(environment, [.. train, "--batch-size", "300"]);
        Assert.Equal(1, refused.ExitCode);
        Assert.Matches(@"^mnistnative: \[device cuda\] cannot allocate \d+ bytes on .*: \d+ of 9500000 bytes are free\n$", refused.Error);
        Assert.Equal(0, (await Run(environment, [.. train, "--batch-size", "30"])).ExitCode);
    }

    private static async Task AssertRefused(DeviceUnavailableReason reason, Dictionary<string, string> environment)
    {
        Output info = await Run(environment, "info", "--json");
        JsonElement card = info.Json[2];
        Assert.False(card.GetProperty("available").GetBoolean());
        Assert.Equal(reason.ToString(), card.GetProperty("reason").GetString());
        Assert.Equal(environment.GetValueOrDefault(PluginVariable, Device.CudaPluginPath), card.GetProperty("plugin_path").GetString());

        using var folder = new TempFolder();
        IdxBytes.WriteDigits(folder.Path, train: 40, test: 10);
        string[] train = ["train", "--dataset", "mnist", "--data", folder.Path, "--network", "lenet", "--epochs", "1", "--json"];
        Output auto = await Run(environment, [.. train, "--device", "auto", "--verbose"]);
        Assert.Equal(0, auto.ExitCode);
        Assert.Equal(["epoch", "done"], auto.Json.Select(line => line.GetProperty("event").GetString()));
        Assert.StartsWith($"mnistnative: computing on the CPU, since CUDA cannot be used ({reason}): [device cuda] ", auto.Error);
        Assert.Equal(1, auto.Error.Count('\n'));

        Output refused = await Run(environment, [.. train, "--device", "cuda"]);
        Assert.Equal(1, refused.ExitCode);
        Assert.Equal(card.GetProperty("message").GetString(), Assert.Single(refused.Json).GetProperty("message").GetString());
        Assert.Equal($"mnistnative: {card.GetProperty("message").GetString()}\n", refused.Error);
    }

    private sealed record Output(int ExitCode, string[] Lines, string Error)
    {
        public JsonElement[] Json => [.. Lines.Select(line => JsonDocument.Parse(line).RootElement)];
    }

    private static async Task<Output> Run(Dictionary<string, string> environment, params string[] arguments)
    {
        string command = Path.Combine(AppContext.BaseDirectory, "MnistNative.Cli.dll");
        var start = new ProcessStartInfo("dotnet", [command, .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (string name in start.Environment.Keys.Where(name => name.StartsWith("MNISTNATIVE_CUDA", StringComparison.Ordinal)).ToArray())
        {
            start.Environment.Remove(name);
        }

        foreach ((string name, string value) in environment)
        {
            start.Environment[name] = value;
        }

        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return new Output(process.ExitCode, output.Split('\n', StringSplitOptions.RemoveEmptyEntries), await error);
    }
}
