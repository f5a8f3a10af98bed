using System.Collections.Immutable;
using System.Reflection;
using System.Text.RegularExpressions;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;

namespace MnistNative.Tests;

/// <summary>
/// Compiles every C# block of the READMEs and of <c>docs</c>, as a program of top-level statements. What a fragment takes
/// for granted stands in a comment on the line before it: <c>&lt;!-- continues --&gt;</c>, the block before it on the
/// page; <c>&lt;!-- given: float[] mean, float[] std --&gt;</c>, these variables, and the library's namespaces.
/// </summary>
public sealed partial class DocumentationTests
{
    private static readonly string s_root = typeof(DocumentationTests).Assembly
        .GetCustomAttributes<AssemblyMetadataAttribute>()
        .Single(attribute => attribute.Key == "RepositoryRoot").Value!;

    // What this process may load is what a page may use.
    private static readonly Lazy<ImmutableArray<MetadataReference>> s_references = new(() =>
        [.. ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!)
            .Split(Path.PathSeparator)
            .Select(path => MetadataReference.CreateFromFile(path))]);

    // A console program's implicit usings.
    private static readonly string[] s_usings =
    [
        "System", "System.Collections.Generic", "System.IO", "System.Linq", "System.Net.Http", "System.Threading",
        "System.Threading.Tasks",
    ];

    public static TheoryData<string> Pages() =>
        [.. Directory.GetFiles(Path.Combine(s_root, "docs"), "*.md", SearchOption.AllDirectories)
            .Append(Path.Combine(s_root, "README.md"))
            .Append(Path.Combine(s_root, "managed", "README.md"))
            .Append(Path.Combine(s_root, "managed", "MnistNative.Cuda", "README.md"))
            .Select(path => Path.GetRelativePath(s_root, path).Replace('\\', '/'))
            .Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Pages))]
    public void BlocksCompile(string page)
    {
        string text = File.ReadAllText(Path.Combine(s_root, page)).ReplaceLineEndings("\n");
        MatchCollection blocks = BlockPattern().Matches(text);
        Assert.Equal(OpeningPattern().Count(text), blocks.Count);
        string before = "";
        foreach (Match block in blocks)
        {
            bool continues = block.Groups["continues"].Success;
            string program = (continues ? before : "")
                + Declarations(block.Groups["given"], !continues) + block.Groups["code"].Value;
            int line = text.AsSpan(0, block.Groups["code"].Index).Count('\n') + 1;
            string[] errors = Errors(program);
            Assert.True(
                errors.Length == 0, $"{page}, block at line {line}:\n{string.Join('\n', errors)}\n\n{program}");
            before = program;
        }
    }

    [Fact]
    public void WrongCodeIsFound() => Assert.Contains(
        "CS1061", Assert.Single(Errors("MnistNative.Sequential.Input(1, 28, 28).NoSuchLayer();")), StringComparison.Ordinal);

    /// <summary>No public type has the name of one that a console program's implicit usings bring.</summary>
    [Fact]
    public void PublicTypesAreUnambiguous()
    {
        string[] names = [.. new[] { typeof(Model), typeof(MnistNative.Models.SmallNetworks) }
            .SelectMany(type => type.Assembly.GetExportedTypes())
            .Where(type => !type.IsNested)
            .Select(type => type.Name)];
        Assert.True(names.Length > 60);
        Assert.Empty(Errors(
            "using MnistNative;\nusing MnistNative.Models;\n" + string.Concat(names.Select(name => $"_ = typeof({name});\n"))));
        Assert.Contains("CS0104", Assert.Single(Errors("using Other;\n_ = typeof(Monitor);\nnamespace Other { class Monitor; }")));
    }

    /// <summary>Links between pages lead to files that exist.</summary>
    [Theory]
    [MemberData(nameof(Pages))]
    public void LinksLeadSomewhere(string page)
    {
        string folder = Path.GetDirectoryName(Path.Combine(s_root, page))!;
        string[] dead = [.. LinkPattern().Matches(File.ReadAllText(Path.Combine(s_root, page)))
            .Select(match => match.Groups["path"].Value)
            .Where(path => !path.Contains("://", StringComparison.Ordinal))
            .Where(path => !Path.Exists(Path.Combine(folder, path)))];
        Assert.Empty(dead);
    }

    /// <summary>The texts by which errors are looked up are those of the sources; an ellipsis stands for values.</summary>
    [Fact]
    public void TroubleshootingQuotesTheSources()
    {
        string[] kinds = [".cs", ".cpp", ".h", ".cmake", ".csproj", ".txt"];
        string sources = string.Concat(new[] { "managed", "native", "tests/native" }
            .SelectMany(folder => Directory.EnumerateFiles(Path.Combine(s_root, folder), "*", SearchOption.AllDirectories))
            .Where(path => kinds.Contains(Path.GetExtension(path)))
            .Select(File.ReadAllText));
        sources = BrokenLiteralPattern().Replace(sources.Replace("\\\"", "\"", StringComparison.Ordinal), "");

        string page = File.ReadAllText(Path.Combine(s_root, "docs", "troubleshooting.md"));
        string[] texts = [.. HeadingPattern().Matches(page).SelectMany(heading => QuotedPattern().Matches(heading.Value))
            .Select(match => match.Groups["text"].Value)];
        Assert.True(texts.Length > 20);
        Assert.All(texts, text => Assert.All(
            text.Split('…', StringSplitOptions.TrimEntries),
            part => Assert.True(sources.Contains(part, StringComparison.Ordinal), $"No source says \"{part}\" of \"{text}\".")));
    }

    private static string Declarations(Group given, bool usings) => given.Success
        ? (usings ? "using MnistNative;\nusing MnistNative.Models;\n" : "") + string.Concat(
            given.Value.Split(", ").Select(name => $"{name} = default!;\n"))
        : "";

    private static string[] Errors(string program)
    {
        var options = new CSharpCompilationOptions(
            OutputKind.ConsoleApplication, allowUnsafe: true, nullableContextOptions: NullableContextOptions.Enable);
        string usings = string.Concat(s_usings.Select(name => $"global using {name};\n"));
        var compilation = CSharpCompilation.Create(
            "Page", [CSharpSyntaxTree.ParseText(program), CSharpSyntaxTree.ParseText(usings)], s_references.Value, options);
        return [.. compilation.GetDiagnostics()
            .Where(diagnostic => diagnostic.Severity == DiagnosticSeverity.Error)
            .Select(diagnostic => diagnostic.ToString())];
    }

    [GeneratedRegex(
        @"(?:^<!-- (?<continues>continues)?(?:; )?(?:given: (?<given>[^\n]*?))? -->\n+)?^```csharp\n(?<code>.*?)^```$",
        RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex BlockPattern();

    [GeneratedRegex("^\\s*```(?:csharp|cs|c#)", RegexOptions.Multiline | RegexOptions.IgnoreCase)]
    private static partial Regex OpeningPattern();

    [GeneratedRegex("^### .*$", RegexOptions.Multiline)]
    private static partial Regex HeadingPattern();

    [GeneratedRegex("`(?<text>[^`]+)`")]
    private static partial Regex QuotedPattern();

    // A literal that goes on in the next line, in C# or in C++.
    [GeneratedRegex("\"\\s*\\+\\s*\\$?\"|\"\\s*\\n\\s*\"")]
    private static partial Regex BrokenLiteralPattern();

    [GeneratedRegex(@"\]\((?<path>[^)#\s]+)(?:#[^)\s]*)?\)")]
    private static partial Regex LinkPattern();
}
