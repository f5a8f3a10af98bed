using System.Reflection;
using MnistNative.Tests.Cuda;

namespace MnistNative.Tests.Golden;

/// <summary>
/// The library against libtorch's numbers: every case of every file in the folder <c>golden</c> beside this assembly, or
/// in the folder that <c>MNISTNATIVE_GOLDEN</c> names, on each kind of device. A case on a device is one result, called
/// by its name.
/// </summary>
public sealed class GoldenTests
{
    private const string FolderVariable = "MNISTNATIVE_GOLDEN";

    /// <summary>A row a case and device. What cannot be read is a row without a case, which fails.</summary>
    public static IEnumerable<ITheoryDataRow> Cases()
    {
        (string File, string Case, string Name)[] cases = [.. Find()];
        foreach ((string file, string name, string display) in cases)
        {
            yield return Row(file, name, DeviceKind.Cpu, $"Golden {display}");
        }

        if (CudaUnderTest.Missing is string reason)
        {
            TheoryDataRow<string, string, DeviceKind> row = Row("", "", DeviceKind.Cuda, $"Golden, {CudaUnderTest.Name}");
            row.Skip = reason;
            yield return row;
            yield break;
        }

        foreach ((string file, string name, string display) in cases)
        {
            yield return Row(file, name, DeviceKind.Cuda, $"Golden {display}, {CudaUnderTest.Name}")
                .WithTrait(CudaUnderTest.Trait, CudaUnderTest.TraitValue);
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task Agrees(string file, string name, DeviceKind kind)
    {
        if (kind == DeviceKind.Cuda)
        {
            await CudaUnderTest.RunAsync(device => CompareAsync(file, name, device));
            return;
        }

        using Device processor = Device.Cpu();
        await CompareAsync(file, name, processor);
    }

    private static async Task CompareAsync(string file, string name, Device device)
    {
        Assert.True(File.Exists(file), $"There is no .safetensors file in \"{Folder}\"; {FolderVariable} names another folder.");
        GoldenCase golden = new GoldenFile(file).Case(name, device);
        if (!GoldenOps.Tests.TryGetValue(golden.Op, out Func<GoldenCase, Task>? test))
        {
            golden.SkipMissing();
            return;
        }

        await test(golden);
        golden.AssertAllUsed();
    }

    private static IEnumerable<(string File, string Case, string Name)> Find()
    {
        string[] files = Directory.Exists(Folder)
            ? [.. Directory.EnumerateFiles(Folder, "*.safetensors", SearchOption.AllDirectories).Order(StringComparer.Ordinal)]
            : [];
        if (files.Length == 0)
        {
            yield return (Folder, "", "no cases");
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
                yield return (file, name, names.Add(display) ? display : $"{shortName}: {display}");
            }
        }
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

    private static TheoryDataRow<string, string, DeviceKind> Row(string file, string name, DeviceKind kind, string display) =>
        new(file, name, kind) { TestDisplayName = display, Label = "" };
}
