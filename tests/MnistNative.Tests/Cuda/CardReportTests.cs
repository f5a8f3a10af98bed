using System.Diagnostics;
using System.Reflection;
using MnistNative.Tests.Data;

namespace MnistNative.Tests.Cuda;

/// <summary>The report on a card, <c>tests/card/report.sh</c>, with the stand-ins as the card.</summary>
public sealed class CardReportTests
{
    [Fact]
    public async Task APassingCardHasItsFigures()
    {
        (int exitCode, string report) = await Run([], "--ops", "*relu*:*RandomNetworks*", "--cases", "*relu*");
        Assert.Contains("This card is emulated", report);
        Assert.Matches(@"\| every op, forward and backward \| [1-9]\d* \| 0 \| 0 \|", report);
        Assert.Matches(@"\| training with each optimizer, networks at random \| [1-9]\d* \| 0 \| 0 \|", report);
        Assert.Matches(@"\| libtorch's cases, .* \| [1-9]\d* \| 0 \| 0 \|", report);
        Assert.Matches(@"\| cuda \| [\d.]+ \| [\d.]+ \| [\d.]+ \| [\d.]+ \|", report);
        Assert.Matches(@"\| cpu \| [\d.]+ \| [\d.]+ \| [\d.]+ \| [\d.]+ \|", report);
        Assert.Matches(@"A step takes [\d.]+ ms\. .* so at least [\d.]+ % of the step is outside of kernels\.", report);
        Assert.DoesNotContain("Said meanwhile", report);
        Assert.Contains("| 3 | conv2d+bias+relu+max_pool2d | backward | ", report);
        Assert.EndsWith("All checks passed.\n", report);
        Assert.Equal(0, exitCode);
    }

    [Fact]
    public async Task AFailingCheckIsNamed()
    {
        Dictionary<string, string> environment = new() { ["CUDA_EMULATION_FAIL"] = "cuLaunchKernel=719" };
        (int exitCode, string report) = await Run(environment, "--ops", "*conv2d_2x3x*:*RandomNetworks*", "--cases", "*relu*");
        Assert.Matches(@"\| every op, forward and backward \| \d+ \| [1-9]\d* \| \d+ \|", report);
        Assert.Matches(@"\| libtorch's cases, .* \| 0 \| [1-9]\d* \| 0 \|", report);
        Assert.Contains("\n- Cases/PluginOpTest.", report);
        Assert.Contains("\n- Golden relu/", report);
        Assert.Contains("\n- mnistnative: [device cuda] ", report);
        Assert.EndsWith("Some checks failed.\n", report);
        Assert.Equal(1, exitCode);
    }

    [Fact]
    public async Task NoCardIsNoReport()
    {
        (int exitCode, string report) = await Run(new() { ["CUDA_EMULATION_DEVICES"] = "0" });
        Assert.Contains("There is no card that can be used: [device cuda]", report);
        Assert.Equal(1, exitCode);
    }

    private static async Task<(int ExitCode, string Report)> Run(Dictionary<string, string> environment, params string[] arguments)
    {
        Assert.SkipWhen(CudaUnderTest.Missing is not null, CudaUnderTest.Missing ?? "");
        using var folder = new TempFolder();
        IdxBytes.WriteDigits(folder.Path, train: 32, test: 10);
        string root = typeof(CardReportTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
            .Single(attribute => attribute.Key == "RepositoryRoot").Value!;
        var start = new ProcessStartInfo(
            Path.Combine(root, "tests", "card", "report.sh"),
            [
                "--tests", AppContext.BaseDirectory, "--data", folder.Path, "--network", "lenet", "--epochs", "1", "--batch-size", "8",
                "--steps", "1", .. arguments,
            ])
        {
            RedirectStandardOutput = true,
            Environment = { [CudaUnderTest.LibrariesVariable] = CudaUnderTest.StandIns },
        };
        foreach ((string name, string value) in environment)
        {
            start.Environment[name] = value;
        }

        using Process process = Process.Start(start)!;
        string report = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, report);
    }
}
