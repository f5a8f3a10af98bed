using MnistNative.Interop;

namespace MnistNative;

/// <summary>Kinds of device.</summary>
public enum DeviceKind
{
    /// <summary>The computer's own processor.</summary>
    Cpu = 0,

    /// <summary>An NVIDIA graphics processor.</summary>
    Cuda = 1,
}

/// <summary>What a device is.</summary>
/// <param name="Kind">Its kind.</param>
/// <param name="Index">Which of the devices of that kind, from 0.</param>
/// <param name="Name">Name of the processor or card.</param>
/// <param name="Architecture">Instruction set or architecture that the kernels use, for example <c>avx2</c>.</param>
/// <param name="Threads">Threads that compute; on a card its multiprocessors.</param>
/// <param name="MemoryBytes">Memory of the device in bytes, 0 if unknown.</param>
public sealed record DeviceInfo(
    DeviceKind Kind, int Index, string Name, string Architecture, int Threads, long MemoryBytes)
{
    /// <summary>Devices of that kind in the computer.</summary>
    public int DeviceCount { get; init; } = 1;

    /// <summary>The newest CUDA version that the driver supports; null for the processor.</summary>
    public Version? DriverVersion { get; init; }

    /// <summary>What convolutions are computed by, <c>cudnn</c> or <c>cublas</c>; empty for the processor.</summary>
    public string Tier { get; init; } = "";

    /// <summary>What <see cref="ModelOptions.Precision"/> can be on the device.</summary>
    public IReadOnlyList<Precision> Precisions { get; init; } = [Precision.Float32];

    /// <summary>Libraries that were opened at run time, each with its path and version, and last why cuDNN is not used, if so; none for the processor.</summary>
    public IReadOnlyList<string> Libraries { get; init; } = [];

    /// <summary>Whether all is equal, the lists element by element.</summary>
    public bool Equals(DeviceInfo? other) => other is not null
        && (Kind, Index, Name, Architecture, Threads, MemoryBytes) ==
            (other.Kind, other.Index, other.Name, other.Architecture, other.Threads, other.MemoryBytes)
        && (DeviceCount, DriverVersion, Tier) == (other.DeviceCount, other.DriverVersion, other.Tier)
        && Precisions.SequenceEqual(other.Precisions)
        && Libraries.SequenceEqual(other.Libraries);

    /// <summary>A hash of what tells devices apart.</summary>
    public override int GetHashCode() => HashCode.Combine(Kind, Index, Name, Architecture, Threads);

    /// <summary>For example <c>cpu: Intel Xeon (avx512, 2 threads)</c>.</summary>
    public override string ToString() => Kind == DeviceKind.Cpu
        ? $"cpu: {Name} ({Architecture}, {Threads} {(Threads == 1 ? "thread" : "threads")})"
        : $"cuda:{Index}: {Name} ({Architecture}, {Tier}, CUDA {DriverVersion}, {string.Join(", ", Libraries)})";
}

/// <summary>A processor that models are compiled for. Safe to use from several threads; any number of models may share one.</summary>
/// <remarks>
/// A request is honoured or refused with a <see cref="DeviceUnavailableException"/>; nothing computes elsewhere in
/// silence. Models keep their device alive, so a device may be disposed before them.
/// </remarks>
public sealed class Device : IDisposable
{
    /// <summary>Most threads that a CPU device computes with.</summary>
    public const int MaxThreads = NativeConstants.MaxThreads;

    private const string ThreadsVariable = "MNISTNATIVE_NUM_THREADS";
    private const string CudaPluginVariable = "MNISTNATIVE_CUDA_PLUGIN";
    private const string CudaPluginName = "libmnistnative_cuda";

    private static readonly object s_gate = new();
    private static Device? s_default;

    private readonly DeviceHandle _handle;
    private readonly bool _shared;
    private int _disposed;

    private Device(DeviceHandle handle, DeviceKind kind, int index, bool shared)
    {
        _handle = handle;
        Kind = kind;
        Index = index;
        _shared = shared;
    }

    /// <summary>
    /// The device that models use unless they are given another: that of <see cref="Auto"/>, opened at the first use.
    /// It belongs to the process, and disposing it does nothing.
    /// </summary>
    /// <exception cref="DeviceUnavailableException">The device cannot be used.</exception>
    public static Device Default
    {
        get
        {
            lock (s_gate)
            {
                return s_default ??= OpenAuto(shared: true);
            }
        }
    }

    /// <summary>
    /// Where the CUDA plugin is, or would have to be: the file that the environment variable MNISTNATIVE_CUDA_PLUGIN
    /// names, else libmnistnative_cuda beside the native library, beside the application, in its <c>runtimes</c> folder or in the
    /// .NET runtime's own folders.
    /// </summary>
    public static string CudaPluginPath
    {
        get
        {
            NativeLibraryLoader.EnsureLoaded();
            return NativeLibraryLoader.PluginPath(CudaPluginName, CudaPluginVariable);
        }
    }

    /// <summary>The kind of the device.</summary>
    public DeviceKind Kind { get; }

    /// <summary>Which of the devices of that kind, from 0.</summary>
    public int Index { get; }

    /// <summary>The handle, for making what keeps it open.</summary>
    /// <exception cref="ObjectDisposedException">The device is disposed.</exception>
    internal DeviceHandle Handle
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed != 0, this);
            return _handle;
        }
    }

    /// <summary>Opens the processor. The instruction set is chosen at run time; MNISTNATIVE_ISA forces one.</summary>
    /// <param name="threads">
    /// Threads that compute, 1 to 1024. 0 takes the environment variable MNISTNATIVE_NUM_THREADS, else
    /// <see cref="Environment.ProcessorCount"/>, which heeds a container's quota. Results do not depend on it.
    /// </param>
    /// <returns>The device; dispose it when no more models are to be made for it.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The number of threads is out of range.</exception>
    /// <exception cref="DeviceUnavailableException">MNISTNATIVE_ISA names what this processor does not have.</exception>
    public static Device Cpu(int threads = 0) => OpenCpu(threads, shared: false);

    /// <summary>Opens an NVIDIA graphics processor. PyTorch: <c>torch.device("cuda", index)</c>.</summary>
    /// <param name="index">Which one, from 0.</param>
    /// <returns>The device; dispose it when no more models are to be made for it.</returns>
    /// <remarks>
    /// It needs the CUDA plugin (see <see cref="CudaPluginPath"/>), NVIDIA's driver and cuBLAS 11, 12 or 13. The
    /// environment variable MNISTNATIVE_CUDA_PATH names the folder of NVIDIA's libraries, which are then looked for
    /// nowhere else. It has been tested on an emulation only; docs/cuda.md says how far.
    /// </remarks>
    /// <exception cref="DeviceUnavailableException">It cannot be used; the exception says why.</exception>
    public static Device Cuda(int index = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        return new Device(Open(DeviceKind.Cuda, index, threads: 0), DeviceKind.Cuda, index, shared: false);
    }

    /// <summary>
    /// Opens the first graphics processor if there is one that can be used, else the processor, after saying why to
    /// <see cref="MnistNativeLog"/>.
    /// </summary>
    /// <returns>The device; <see cref="Describe()"/> says which it is.</returns>
    public static Device Auto() => OpenAuto(shared: false);

    /// <summary>What the device is.</summary>
    /// <returns>Its name, architecture and threads.</returns>
    /// <exception cref="ObjectDisposedException">The device is disposed.</exception>
    public DeviceInfo Describe() => Describe(Handle);

    /// <summary>
    /// Measures what the device can do at best, which takes a fraction of a second and 128 MB; it should be idle
    /// meanwhile.
    /// </summary>
    /// <returns>Operations and bytes a second.</returns>
    /// <exception cref="ObjectDisposedException">The device is disposed.</exception>
    /// <exception cref="MnistNativeOutOfMemoryException">There is too little memory.</exception>
    public DevicePeak MeasurePeak() => Measure(Handle);

    /// <summary>Closes the device, except for <see cref="Default"/>. What was made for it keeps it open.</summary>
    public void Dispose()
    {
        if (!_shared && Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            _handle.Release();
        }
    }

    /// <summary>For example <c>cpu</c> or <c>cuda:0</c>.</summary>
    public override string ToString() => Kind == DeviceKind.Cpu ? "cpu" : $"cuda:{Index}";

    internal static unsafe DeviceInfo Describe(DeviceHandle handle)
    {
        var info = new MnDeviceInfo { StructSize = (uint)sizeof(MnDeviceInfo) };
        using (NativeHandle.Lease lease = handle.Use())
        {
            Native.Check(NativeMethods.DeviceDescribe(lease.Value, &info));
        }

        uint precisions = info.Precisions;
        return new DeviceInfo(
            (DeviceKind)info.Kind,
            info.Index,
            Utf8.FromNative(info.Name),
            Utf8.FromNative(info.Architecture),
            info.Threads,
            info.MemoryBytes)
        {
            DeviceCount = info.DeviceCount,
            DriverVersion = info.DriverVersion == 0
                ? null
                : new Version(info.DriverVersion / 1000, info.DriverVersion % 1000 / 10),
            Tier = Utf8.FromNative(info.Tier),
            Precisions = [.. Enum.GetValues<Precision>().Where(precision => ((precisions >> (int)precision) & 1) != 0)],
            Libraries = Utf8.FromNative(info.Libraries).Split("; ", StringSplitOptions.RemoveEmptyEntries),
        };
    }

    internal static unsafe DevicePeak Measure(DeviceHandle handle)
    {
        var peak = new MnDevicePeak { StructSize = (uint)sizeof(MnDevicePeak) };
        using NativeHandle.Lease lease = handle.Use();
        Native.Check(NativeMethods.DeviceMeasure(lease.Value, &peak));
        return new DevicePeak(peak.FlopsPerSecond, peak.BytesPerSecond);
    }

    private static Device OpenAuto(bool shared)
    {
        NativeLibraryLoader.EnsureLoaded();
        MnStatus status = TryOpen(DeviceKind.Cuda, index: 0, threads: 0, out DeviceHandle? cuda);
        if (status == 0)
        {
            return new Device(cuda!, DeviceKind.Cuda, 0, shared);
        }

        MnistNativeLog.Write(MnistNativeLogLevel.Information, $"{Native.ExceptionFor(status).Message}; computing on the CPU");
        return OpenCpu(0, shared);
    }

    private static Device OpenCpu(int threads, bool shared)
    {
        if (threads is < 0 or > NativeConstants.MaxThreads)
        {
            throw new ArgumentOutOfRangeException(
                nameof(threads), threads, $"The number of threads must lie in 0 to {NativeConstants.MaxThreads}; 0 lets the library choose.");
        }

        if (threads == 0 && string.IsNullOrEmpty(Environment.GetEnvironmentVariable(ThreadsVariable)))
        {
            threads = Math.Clamp(Environment.ProcessorCount, 1, NativeConstants.MaxThreads);
        }

        return new Device(Open(DeviceKind.Cpu, 0, threads), DeviceKind.Cpu, 0, shared);
    }

    private static DeviceHandle Open(DeviceKind kind, int index, int threads)
    {
        NativeLibraryLoader.EnsureLoaded();
        Native.Check(TryOpen(kind, index, threads, out DeviceHandle? handle));
        return handle!;
    }

    private static unsafe MnStatus TryOpen(DeviceKind kind, int index, int threads, out DeviceHandle? handle)
    {
        string? plugin = kind == DeviceKind.Cuda ? NativeLibraryLoader.PluginPath(CudaPluginName, CudaPluginVariable) : null;
        fixed (byte* path = Utf8.ToNative(plugin))
        {
            var desc = new MnDeviceDesc
            {
                StructSize = (uint)sizeof(MnDeviceDesc),
                Kind = (int)kind,
                Index = index,
                Threads = threads,
                PluginPath = path,
            };
            ulong value;
            MnStatus status = NativeMethods.DeviceOpen(&desc, &value);
            handle = status == 0 ? new DeviceHandle(value) : null;
            return status;
        }
    }
}
