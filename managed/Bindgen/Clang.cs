using System.Diagnostics;
using System.Text.Json;

namespace MnistNative.Bindgen;

/// <summary>The clang that reads the header. Distributions install it as <c>clang</c> or as <c>clang-14</c>.</summary>
public static class Clang
{
    /// <summary>Full path of the <c>clang</c> in <c>PATH</c>, else of the newest <c>clang-N</c>, else null.</summary>
    public static string? Find()
    {
        string[] folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries);
        string suffix = OperatingSystem.IsWindows() ? ".exe" : "";

        string? plain = folders.Select(folder => Path.Combine(folder, "clang" + suffix)).FirstOrDefault(File.Exists);
        return plain ?? folders
            .Where(Directory.Exists)
            .SelectMany(folder => Directory.EnumerateFiles(folder, "clang-*" + suffix))
            .Select(path => (Path: path, Version: Path.GetFileName(path)["clang-".Length..^suffix.Length]))
            .Where(found => int.TryParse(found.Version, out _))
            .OrderByDescending(found => int.Parse(found.Version))
            .FirstOrDefault().Path;
    }

    /// <summary>The syntax tree of a C header.</summary>
    /// <exception cref="InvalidOperationException">clang refused the header; the message has its words.</exception>
    public static JsonDocument Parse(string clang, string header)
    {
        ProcessStartInfo start = new(clang,
        [
            // Read alone, the header uses none of its inline functions.
            "-x", "c", "-std=c99", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-fsyntax-only", "-fparse-all-comments",
            "-Xclang", "-ast-dump=json", header,
        ])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        JsonDocument? tree = null;
        try
        {
            tree = JsonDocument.Parse(process.StandardOutput.BaseStream, new JsonDocumentOptions { MaxDepth = 1024 });
        }
        catch (JsonException)
        {
            // clang wrote nothing: its exit code and its words say why.
        }
        process.WaitForExit();
        if (process.ExitCode != 0 || tree is null)
        {
            tree?.Dispose();
            throw new InvalidOperationException($"{clang} could not read {header}:\n{errors.Result}");
        }
        return tree;
    }
}
