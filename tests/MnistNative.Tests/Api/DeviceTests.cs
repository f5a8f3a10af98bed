using System.Runtime.InteropServices;
using MnistNative.Interop;

namespace MnistNative.Tests.Api;

public sealed class DeviceTests
{
    [Fact]
    public void TheProcessorDescribesItself()
    {
        using Device device = Device.Cpu(threads: 3);
        DeviceInfo info = device.Describe();
        Assert.Equal(DeviceKind.Cpu, info.Kind);
        Assert.Equal(3, info.Threads);
        Assert.NotEqual("", info.Name);
        Assert.Contains(info.Architecture, new[] { "base", "avx2", "avx512", "neon" });
        Assert.Contains("3 threads", info.ToString());
        Assert.Throws<ArgumentOutOfRangeException>(() => Device.Cpu(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => Device.Cpu(1025));
    }

    [Fact]
    public void ADeviceMayBeDisposedBeforeItsModels()
    {
        Device device = Device.Cpu(1);
        using Model model = Tiny.Network.Build(device: device);
        device.Dispose();
        Assert.Throws<ObjectDisposedException>(() => device.Describe());
        Assert.Throws<ObjectDisposedException>(() => Tiny.Network.Build(device: device));
        Assert.Single(model.Predict(new float[64]));
    }

    [Fact]
    public void TheDefaultDeviceCannotBeClosed()
    {
        Device.Default.Dispose();
        Assert.NotEqual("", Device.Default.Describe().Name);
        Assert.Same(Device.Default, Device.Default);
    }

    [Fact]
    public void ADeviceThatIsNotThereHasAReason()
    {
        using Device auto = Device.Auto();
        Assert.SkipWhen(auto.Kind == DeviceKind.Cuda, "this machine has a graphics processor that can be used");
        DeviceUnavailableException e = Assert.Throws<DeviceUnavailableException>(() => Device.Cuda());
        Assert.NotEqual(DeviceUnavailableReason.Unknown, e.Reason);
        Assert.Equal(MnistNativeStatus.DeviceUnavailable, e.Status);
    }

    [Fact]
    public void AutoSaysWhyItComputesOnTheProcessor()
    {
        var messages = new System.Collections.Concurrent.ConcurrentQueue<string>();
        MnistNativeLog.SetHandler((_, text) => messages.Enqueue(text));
        try
        {
            using Device auto = Device.Auto();
            Assert.SkipWhen(auto.Kind == DeviceKind.Cuda, "this machine has a graphics processor that can be used");
            Assert.Contains(messages, text => text.StartsWith("[device cuda]", StringComparison.Ordinal)
                && text.EndsWith("computing on the CPU", StringComparison.Ordinal));
        }
        finally
        {
            MnistNativeLog.SetHandler(null);
        }
    }

    [Fact]
    public void ThePluginIsWhereTheVariableSays()
    {
        const string Variable = "MNISTNATIVE_CUDA_PLUGIN";
        string? before = Environment.GetEnvironmentVariable(Variable);
        string missing = Path.Combine(Path.GetTempPath(), Guid.NewGuid().ToString("N"), "plugin.so");
        try
        {
            Environment.SetEnvironmentVariable(Variable, missing);
            Assert.Equal(missing, Device.CudaPluginPath);
            DeviceUnavailableException e = Assert.Throws<DeviceUnavailableException>(() => Device.Cuda());
            Assert.Equal(DeviceUnavailableReason.NoPlugin, e.Reason);
            Assert.Contains(missing, e.Message);

            Environment.SetEnvironmentVariable(Variable, typeof(Device).Assembly.Location);
            e = Assert.Throws<DeviceUnavailableException>(() => Device.Cuda());
            Assert.Equal(DeviceUnavailableReason.PluginMismatch, e.Reason);

            Environment.SetEnvironmentVariable(Variable, null);
            Assert.Equal("libmnistnative_cuda", Path.GetFileNameWithoutExtension(Device.CudaPluginPath));
        }
        finally
        {
            Environment.SetEnvironmentVariable(Variable, before);
        }
    }

    [Fact]
    public void PublicEnumsAreTheNativeOnes()
    {
        foreach (MnStatus status in Enum.GetValues<MnStatus>())
        {
            Assert.Equal(status.ToString(), ((MnistNativeStatus)status).ToString());
        }

        foreach (MnDeviceReason reason in Enum.GetValues<MnDeviceReason>().Where(reason => reason != MnDeviceReason.None))
        {
            Assert.Equal(reason.ToString(), ((DeviceUnavailableReason)reason).ToString());
        }

        foreach (MnLogLevel level in Enum.GetValues<MnLogLevel>())
        {
            Assert.Equal(level.ToString(), ((MnistNativeLogLevel)(level + 1)).ToString());
        }

        Assert.Equal((int)MnReduction.Sum, (int)Reduction.Sum);
        Assert.Equal((int)MnDeviceKind.Cuda, (int)DeviceKind.Cuda);
    }

    [Theory]
    [InlineData("linux", Architecture.X64, false, "linux-x64")]
    [InlineData("linux", Architecture.Arm64, true, "linux-musl-arm64")]
    [InlineData("win", Architecture.Arm64, false, "win-arm64")]
    [InlineData("osx", Architecture.X64, false, "osx-x64")]
    [InlineData("linux", Architecture.S390x, false, null)]
    [InlineData(null, Architecture.X64, false, null)]
    public void PlatformsHaveTheirFolders(string? os, Architecture architecture, bool musl, string? expected) =>
        Assert.Equal(expected, NativeLibraryLoader.PlatformOf(os, architecture, musl));

    [Theory]
    [InlineData("linux-musl-x64", true)]
    [InlineData("alpine.3.20-arm64", true)]
    [InlineData("linux-x64", false)]
    [InlineData("debian.12-x64", false)]
    public void MuslIsKnownByTheRuntimesIdentifier(string identifier, bool expected) =>
        Assert.Equal(expected, NativeLibraryLoader.IsMusl(identifier));

    [Fact]
    public void AnUnsupportedPlatformIsToldTheSupportedOnes()
    {
        Exception e = NativeLibraryLoader.NotFound(
            "It is not there.", NativeLibraryLoader.PlatformOf("linux", Architecture.S390x, musl: false), "  /some/file: tried", null);
        Assert.IsType<PlatformNotSupportedException>(e);
        Assert.Contains("/some/file: tried", e.Message);
        foreach (string os in new[] { "linux", "win", "osx" })
        {
            foreach (Architecture architecture in new[] { Architecture.X64, Architecture.Arm64 })
            {
                Assert.Contains(NativeLibraryLoader.PlatformOf(os, architecture, musl: false)!, e.Message);
                Assert.Contains(NativeLibraryLoader.PlatformOf(os, architecture, musl: true)!, e.Message);
            }
        }

        Assert.IsType<DllNotFoundException>(NativeLibraryLoader.NotFound("It is not there.", "linux-x64", "", null));
    }

    [Fact]
    public void AMismatchNamesBothFiles()
    {
        string message = NativeLibraryLoader.MismatchMessage(1, 7, "/some/libmnistnative.so");
        Assert.Contains("MnistNative.dll", message);
        Assert.Contains("/some/libmnistnative.so", message);
        Assert.Contains("7", message);
    }

    [Fact]
    public void TheRuntimeKnowsItsLibrary()
    {
        Assert.Matches(@"^\d+\.\d+\.\d+", MnistNativeRuntime.NativeVersion);
        Assert.Contains("libmnistnative", MnistNativeRuntime.LoadTrace);
    }

    [Fact]
    public void ALogHandlerCanBeSetAndRemoved()
    {
        MnistNativeLog.SetHandler((_, _) => throw new InvalidOperationException("ignored"));
        using (Model model = Tiny.Network.Build())
        {
            model.Fit(Tiny.Bytes(10));
        }

        MnistNativeLog.SetHandler(null);
    }
}
