using System.Diagnostics;
using System.Globalization;

namespace MnistNative.Cli;

/// <summary>Memory of this process.</summary>
internal static class ProcessMemory
{
    /// <summary>The most memory that the process has had resident, in bytes.</summary>
    public static long PeakResidentBytes()
    {
        using Process process = Process.GetCurrentProcess();
        return process.PeakWorkingSet64 is long peak and > 0 ? peak : FromProc();
    }

    private static long FromProc()
    {
        const string status = "/proc/self/status";
        const string key = "VmHWM:";
        string? line = File.Exists(status)
            ? File.ReadLines(status).FirstOrDefault(text => text.StartsWith(key, StringComparison.Ordinal))
            : null;
        return line is null
            ? 0
            : 1024 * long.Parse(line[key.Length..].Replace("kB", "", StringComparison.Ordinal), CultureInfo.InvariantCulture);
    }
}
