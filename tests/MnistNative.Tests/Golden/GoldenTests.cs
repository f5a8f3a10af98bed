using System.Reflection;

namespace MnistNative.Tests.Golden;

/// <summary>
/// The library against libtorch's numbers: every case of every file in the folder <c>golden</c> beside this assembly, or
/// in the folder that <c>MNISTNATIVE_GOLDEN</c> names. A case is one result, called by its name.
/// </summary>
public sealed class GoldenTests
{
    private const string FolderVariable = "MNISTNATIVE_GOLDEN";

    /// <summary>A row a case. What cannot be read is a row without a case, which fails.</summary>
    public static IEnumerable<ITheoryDataRow> Cases()
    {
        string[] files = Directory.Exists(Folder)
            ? [.. Directory.EnumerateFiles(Folder, "*.safetensors", SearchOption.AllDirectories).Order(StringComparer.Ordinal)]
            : [];
        if (files.Length == 0)
        {
            yield return Row(Folder, "", "no cases");
        }

        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (string file in files)
        {
            string shortName = Path.ChangeExtension(Path.GetRelativePath(Folder, file), null);
            IEnumerable<string> cases;
            try
            {
                cases = new GoldenFile(file).CaseNames;
            }
            catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException)
            {
                cases = [""];
            }

            foreach (string name in cases)
            {
                string display = name.Length == 0 ? shortName : name;
                yield return Row(file, name, names.Add(display) ? display : $"{shortName}: {display}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task Agrees(string file, string name)
    {
        Assert.True(File.Exists(file), $"There is no .safetensors file in \"{Folder}\"; {FolderVariable} names another folder.");
        GoldenCase golden = new GoldenFile(file).Case(name);
        if (!GoldenOps.Tests.TryGetValue(golden.Op, out Func<GoldenCase, Task>? test))
        {
            golden.SkipMissing();
            return;
        }

        await test(golden);
        golden.AssertAllUsed();
    }

    private static string Folder
    {
        get
        {
            string root = typeof(GoldenTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
                .Single(attribute => attribute.Key == "RepositoryRoot").Value!;
            string? folder = Environment.GetEnvironmentVariable(FolderVariable);
            return string.IsNullOrEmpty(folder) ? Path.Combine(AppContext.BaseDirectory, "golden") : Path.GetFullPath(folder, root);
        }
    }

    private static TheoryDataRow<string, string> Row(string file, string name, string display) =>
        new(file, name) { TestDisplayName = $"Golden {display}", Label = "" };
}
