using System.CommandLine;
using System.Runtime.InteropServices;

namespace MnistNative.Cli;

/// <summary>The options that choose the device of a command.</summary>
internal sealed class DeviceOptions
{
    private readonly Option<string> _device = new("--device")
    {
        Description = "Where to compute.",
        DefaultValueFactory = _ => "auto",
    };

    private readonly Option<int> _threads = new Option<int>("--threads")
    {
        Description = "Threads that compute on the CPU; 0 takes MNISTNATIVE_NUM_THREADS, else all processors.",
        HelpName = "N",
    }.Whole(0, 1024, byDefault: 0);

    private readonly Option<bool> _verbose = new("--verbose")
    {
        Description = "Say on the error stream why CUDA cannot be used, even without an NVIDIA driver.",
    };

    public DeviceOptions() => _device.TakesOneOf(["auto", "cpu", "cuda"]);

    /// <summary>All of them, for <see cref="SharedOptions.Add(Command, DeviceOptions)"/>.</summary>
    public IReadOnlyList<Option> All => [_device, _threads, _verbose];

    /// <summary>
    /// Opens the device asked for. Where <c>auto</c> takes the CPU although there is an NVIDIA driver, or with
    /// <c>--verbose</c>, a line on the error stream says why.
    /// </summary>
    public Device Open(ParseResult parsed, CliContext context)
    {
        string device = parsed.GetValue(_device)!;
        int threads = parsed.GetValue(_threads);
        if (device == "cpu")
        {
            return Device.Cpu(threads);
        }

        try
        {
            return Device.Cuda();
        }
        catch (MnistNativeException e) when (device == "auto")
        {
            if (parsed.GetValue(_verbose) || context.HasCudaDriver())
            {
                string reason = e is DeviceUnavailableException refusal ? refusal.Reason.ToString() : e.Status.ToString();
                context.Error.WriteLine(
                    $"mnistnative: computing on the CPU, since CUDA cannot be used ({reason}): {CommandLine.OneLine(e.Message)}");
            }

            return Device.Cpu(threads);
        }
    }

    /// <summary>Whether this computer has the library of an NVIDIA driver, or a variable names CUDA's files.</summary>
    public static bool FindCudaDriver() =>
        new[] { "MNISTNATIVE_CUDA_PLUGIN", "MNISTNATIVE_CUDA_PATH" }.Any(name => Environment.GetEnvironmentVariable(name) is { Length: > 0 })
        || NativeLibrary.TryLoad(OperatingSystem.IsWindows() ? "nvcuda.dll" : "libcuda.so.1", out _);
}
