using System.Diagnostics;
using System.Reflection;
using System.Text.Json;
using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace MnistNative.Tests;

/// <summary>
/// The native tests (GoogleTest, the plain C program, the checks of symbols and exports), each as a case of its own.
/// They run once, through CTest, when the first of them is asked for.
/// </summary>
/// <remarks>The other tests have ended by then: native tests use every core themselves.</remarks>
[CollectionDefinition(nameof(NativeTests), DisableParallelization = true)]
[Collection(nameof(NativeTests))]
public sealed partial class NativeTests
{
    private static readonly string s_buildDirectory = Path.Combine(
        typeof(NativeTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
            .Single(attribute => attribute.Key == "RepositoryRoot").Value!,
        "artifacts", "native", "release");

    private static readonly Lazy<Dictionary<string, XElement>> s_results = new(RunAll);

    public static TheoryData<string> Cases()
    {
        using JsonDocument listing = JsonDocument.Parse(CTest("--show-only=json-v1"));
        return [.. listing.RootElement.GetProperty("tests").EnumerateArray().Select(test => test.GetProperty("name").GetString()!)];
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Native(string name)
    {
        Assert.True(s_results.Value.TryGetValue(name, out XElement? result), "CTest did not run this test.");

        string output = result.Element("system-out")?.Value ?? "";
        switch ((string?)result.Attribute("status"))
        {
            case "run":
                break;
            case "notrun" when (string?)result.Element("skipped")?.Attribute("message") is string reason:
                // CTest only says that the output had the words of a skip; the reason is what stands before them.
                Match match = SkipPattern().Match(output);
                Assert.Skip(match.Success ? match.Groups["reason"].Value.Trim() : output.Length > 0 ? output.Trim() : reason);
                break;
            default:
                Assert.Fail($"{(string?)result.Element("failure")?.Attribute("message")}\n{output}");
                break;
        }
    }

    private static Dictionary<string, XElement> RunAll()
    {
        string report = Path.GetTempFileName();
        try
        {
            CTest("--output-junit", report, "--timeout", "600", "--parallel", $"{Environment.ProcessorCount}");
            return XDocument.Load(report).Root!.Elements("testcase").ToDictionary(test => (string)test.Attribute("name")!);
        }
        finally
        {
            File.Delete(report);
        }
    }

    private static string CTest(params string[] arguments)
    {
        ProcessStartInfo start = new("ctest", ["--test-dir", s_buildDirectory, .. arguments])
        {
            RedirectStandardOutput = true,
        };
        using Process process = Process.Start(start)!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return output;
    }

    [GeneratedRegex(@"\[ RUN      \][^\n]*\n(?<reason>.*?)\[  SKIPPED \]", RegexOptions.Singleline)]
    private static partial Regex SkipPattern();
}
