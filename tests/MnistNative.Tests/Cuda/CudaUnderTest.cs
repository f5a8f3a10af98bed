using System.Diagnostics;
using System.Reflection;
using System.Xml.Linq;

namespace MnistNative.Tests.Cuda;

/// <summary>
/// The CUDA device of the tests: a card where the environment variable <c>MNISTNATIVE_TEST_CARD</c> is set, else the
/// stand-ins of <c>tests/cuda_emulation</c>.
/// </summary>
/// <remarks>
/// The plugin reads the environment of the process, which .NET cannot change, and the system hands out a library that is
/// loaded to whoever asks for one of its name. So tests on stand-ins run in a process of their own, to which they are the
/// card: it runs every test that has the trait, once, and the tests of this process report how they ended there.
/// </remarks>
internal static class CudaUnderTest
{
    public const string Trait = "Device";
    public const string TraitValue = "cuda";

    /// <summary>Folder of NVIDIA's libraries.</summary>
    public const string LibrariesVariable = "MNISTNATIVE_CUDA_PATH";
    private const string CardVariable = "MNISTNATIVE_TEST_CARD";

    private static readonly Lazy<Dictionary<string, XElement>> s_results = new(RunAll);

    /// <summary>Folder of the emulation's build.</summary>
    public static string Emulation { get; } = Path.Combine(
        typeof(CudaUnderTest).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
            .Single(attribute => attribute.Key == "RepositoryRoot").Value!,
        "artifacts", "native", "release", "tests", "cuda_emulation");

    /// <summary>Folder of the stand-ins for NVIDIA's libraries.</summary>
    public static string StandIns { get; } = Path.Combine(Emulation, "libraries");

    /// <summary>Why there is no emulation; null where there is, or a card is tested.</summary>
    public static string? Missing =>
        OnCard || (File.Exists(Device.CudaPluginPath) && File.Exists(Path.Combine(StandIns, "libcuda.so.1")))
            ? null
            : "the CUDA plugin was not built, for want of a CUDA toolkit";

    /// <summary>What the device is called in the names of tests.</summary>
    public static string Name =>
        OnCard && Environment.GetEnvironmentVariable(LibrariesVariable) != StandIns ? "cuda" : "cuda (emulated)";

    private static bool OnCard => !string.IsNullOrEmpty(Environment.GetEnvironmentVariable(CardVariable));

    /// <summary>Runs the body of the current test, which must have the trait.</summary>
    public static async Task RunAsync(Func<Device, Task> test)
    {
        if (OnCard)
        {
            using Device card = Device.Cuda();
            await test(card);
            return;
        }

        Assert.SkipWhen(Missing is not null, Missing ?? "");
        string name = TestContext.Current.Test!.TestDisplayName;
        Assert.True(s_results.Value.TryGetValue(name, out XElement? result), $"{name} did not run on the emulation.");
        switch ((string?)result.Attribute("result"))
        {
            case "Pass":
                break;
            case "Skip":
                Assert.Skip(((string?)result.Element("reason") ?? "").Trim());
                break;
            default:
                Assert.Fail($"{result.Element("failure")?.Value.Trim()}\n{result.Element("output")?.Value}");
                break;
        }
    }

    /// <summary>Runs the body of the current test, which must have the trait.</summary>
    public static Task RunAsync(Action<Device> test) => RunAsync(device =>
    {
        test(device);
        return Task.CompletedTask;
    });

    private static Dictionary<string, XElement> RunAll()
    {
        string folder = Directory.CreateTempSubdirectory().FullName;
        try
        {
            string report = Path.Combine(folder, "tests.xml");
            string assembly = typeof(CudaUnderTest).Assembly.Location;
            var start = new ProcessStartInfo(
                "dotnet",
                [
                    assembly, "-trait", $"{Trait}={TraitValue}", "-preEnumerateTheories", "-reporter", "silent", "-result-xml", report,
                ])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
                Environment = { [CardVariable] = "1", [LibrariesVariable] = StandIns },
            };
            using Process process = Process.Start(start)!;
            Task<string> error = process.StandardError.ReadToEndAsync();
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            Assert.True(
                File.Exists(report), $"The tests on the emulation ended with {process.ExitCode} and no report.\n{output}\n{error.Result}");

            // The runner puts backslashes before quotation marks.
            return XDocument.Load(report).Descendants("test")
                .ToDictionary(test => ((string)test.Attribute("name")!).Replace("\\\"", "\"", StringComparison.Ordinal));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
