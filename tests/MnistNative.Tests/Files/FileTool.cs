using System.Diagnostics;

namespace MnistNative.Tests.Files;

/// <summary>Processes of their own, for what a test cannot do to itself.</summary>
internal static class FileTool
{
    public const string NobodySkips = "this process is not root, or setpriv is not installed, so that no other user can save";
    public const string MountSkips = "this process may not mount file systems";

    private static readonly string s_dotnet = Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet";
    private static readonly string s_tool = Path.Combine(AppContext.BaseDirectory, "MnistNative.FileTool.dll");

    /// <summary>The words of a shell that run the tool.</summary>
    public static string Command => $"'{s_dotnet}' exec '{s_tool}'";

    /// <summary>Whether the tool can run as a user without rights.</summary>
    public static bool CanBeNobody => Environment.IsPrivilegedProcess && Sh("setpriv --reuid=65534 --clear-groups true").Code == 0;

    /// <summary>Whether a shell can mount what only it sees.</summary>
    public static bool CanMount => Sh("unshare -m sh -c 'mount -t tmpfs -o size=64k none /mnt'").Code == 0;

    /// <summary>Runs a script and returns its exit code with all that it printed.</summary>
    public static (int Code, string Text) Sh(string script)
    {
        using Process process = Process.Start(new ProcessStartInfo("sh", ["-c", script])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string text = process.StandardOutput.ReadToEnd() + errors.Result;
        process.WaitForExit();
        return (process.ExitCode, text);
    }

    /// <summary>Runs the tool as a user without rights.</summary>
    public static (int Code, string Text) AsNobody(string arguments) =>
        Sh($"TMPDIR=/tmp DOTNET_CLI_HOME=/tmp setpriv --reuid=65534 --regid=65534 --clear-groups {Command} {arguments}");

    /// <summary>Runs a script that may mount; what it mounts is gone afterwards.</summary>
    public static (int Code, string Text) WithMounts(string script) => Sh($"unshare -m sh -e <<'END'\n{script}\nEND");

    /// <summary>Starts the tool with its output redirected.</summary>
    public static Process Start(params string[] arguments) =>
        Process.Start(new ProcessStartInfo(s_dotnet, ["exec", s_tool, .. arguments]) { RedirectStandardOutput = true })!;
}
