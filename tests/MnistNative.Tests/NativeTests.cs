using System.Diagnostics;
using System.Reflection;
using System.Text.Json;
using System.Xml.Linq;

namespace MnistNative.Tests;

/// <summary>
/// The native tests (GoogleTest, the plain C program, the checks of symbols and exports), each as a case of its own.
/// They run once, through CTest, when the first of them is asked for.
/// </summary>
/// <remarks>The other tests have ended by then: native tests use every core themselves.</remarks>
[CollectionDefinition(nameof(NativeTests), DisableParallelization = true)]
[Collection(nameof(NativeTests))]
public sealed class NativeTests
{
    // One process for all of GoogleTest's cases: a process each takes twenty times as long.
    private const string GoogleTests = "mn_native_tests";

    private static readonly string s_buildDirectory = Path.Combine(
        typeof(NativeTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
            .Single(attribute => attribute.Key == "RepositoryRoot").Value!,
        "artifacts", "native", "release");

    private static readonly Lazy<Dictionary<string, XElement>> s_results = new(RunAll);

    public static TheoryData<string> Cases()
    {
        using JsonDocument listing = JsonDocument.Parse(CTest([], "--show-only=json-v1"));
        IEnumerable<string> names = listing.RootElement.GetProperty("tests").EnumerateArray()
            .Select(test => test.GetProperty("name").GetString()!);
        return [.. names.SelectMany(name => name == GoogleTests ? [name, .. GoogleTestCases()] : new[] { name })];
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Native(string name)
    {
        Assert.True(s_results.Value.TryGetValue(name, out XElement? result), "This test did not run.");

        string output = result.Element("system-out")?.Value ?? "";
        if (result.Elements("failure").Any())
        {
            Assert.Fail($"{string.Join('\n', result.Elements("failure").Select(failure => (string?)failure.Attribute("message")))}\n{output}");
        }

        if (result.Element("skipped") is XElement skipped)
        {
            // CTest only says that the output had the words of a skip; the output is the reason.
            Assert.Skip(output.Length > 0 ? output.Trim() : (string?)skipped.Attribute("message") ?? "");
        }
    }

    private static Dictionary<string, XElement> RunAll()
    {
        string folder = Directory.CreateTempSubdirectory().FullName;
        try
        {
            string report = Path.Combine(folder, "ctest.xml");
            // A folder, in which each of the programs writes a file of its own name.
            string googleReport = Path.Combine(folder, GoogleTests + ".xml");
            CTest(
                new() { ["GTEST_OUTPUT"] = $"xml:{folder}{Path.DirectorySeparatorChar}" },
                "--output-junit", report, "--timeout", "1200", "--parallel", $"{Environment.ProcessorCount}");
            Dictionary<string, XElement> results = XDocument.Load(report).Root!.Elements("testcase")
                .ToDictionary(test => (string)test.Attribute("name")!);
            // A process that died wrote no report: its cases count as not run, and it as failed.
            if (File.Exists(googleReport))
            {
                foreach (XElement test in XDocument.Load(googleReport).Descendants("testcase"))
                {
                    results.Add($"{(string?)test.Attribute("classname")}.{(string?)test.Attribute("name")}", test);
                }
            }

            return results;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static IEnumerable<string> GoogleTestCases()
    {
        string program = Path.Combine(
            s_buildDirectory, "tests", "native", GoogleTests + (OperatingSystem.IsWindows() ? ".exe" : ""));
        if (!File.Exists(program))
        {
            // Not built where GoogleTest is missing; CTest's own case is skipped with that reason.
            return [];
        }

        string folder = Directory.CreateTempSubdirectory().FullName;
        try
        {
            string listing = Path.Combine(folder, "cases.xml");
            Run([], program, "--gtest_list_tests", $"--gtest_output=xml:{listing}");
            return [.. XDocument.Load(listing).Descendants("testcase")
                .Select(test => $"{(string?)test.Parent!.Attribute("name")}.{(string?)test.Attribute("name")}")];
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static string CTest(Dictionary<string, string> environment, params string[] arguments)
        => Run(environment, "ctest", ["--test-dir", s_buildDirectory, .. arguments]);

    private static string Run(Dictionary<string, string> environment, string program, params string[] arguments)
    {
        ProcessStartInfo start = new(program, arguments) { RedirectStandardOutput = true };
        foreach ((string name, string value) in environment)
        {
            start.Environment[name] = value;
        }

        using Process process = Process.Start(start)!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return output;
    }
}
