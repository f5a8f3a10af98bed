namespace MnistNative.Bindgen;

/// <summary>The bindings of this repository.</summary>
public static class Bindings
{
    /// <summary>The header, from the repository's root.</summary>
    public const string HeaderPath = "native/include/mnistnative.h";

    /// <summary>The table of ops, from the repository's root.</summary>
    public const string TablePath = "native/graph/ops.def";

    /// <summary>The bindings, from the repository's root.</summary>
    public const string OutputPath = "managed/MnistNative/Interop/NativeMethods.g.cs";

    /// <summary>The layers, from the repository's root.</summary>
    public const string LayersPath = "managed/MnistNative/Layers/Layers.g.cs";

    /// <summary>The page with the table of layers, from the repository's root.</summary>
    public const string LayersPagePath = "docs/layers.md";

    /// <summary>The page with the table of ops, from the repository's root.</summary>
    public const string OpsPagePath = "docs/cuda.md";

    /// <summary>What is written of the header and the table of ops: texts of files, by their paths from the root.</summary>
    /// <param name="clang">Path of clang.</param>
    /// <param name="root">The repository's root.</param>
    public static IEnumerable<(string Path, string Text)> Generate(string clang, string root)
    {
        OpTable table = OpTable.Read(Path.Combine(root, TablePath));
        string headerPath = Path.Combine(root, HeaderPath);
        yield return (HeaderPath, HeaderWriter.Write(ReadText(headerPath), table));
        Header header = HeaderReader.Read(clang, headerPath);
        yield return (OutputPath, CSharpWriter.Write(header));
        yield return (LayersPath, LayerWriter.Write(header, table));
        yield return (LayersPagePath, DocsWriter.WriteLayers(ReadText(Path.Combine(root, LayersPagePath)), table));
        yield return (OpsPagePath, DocsWriter.WriteOps(ReadText(Path.Combine(root, OpsPagePath)), table));
    }

    /// <summary>The text of a file, with line feeds.</summary>
    public static string ReadText(string path) => File.ReadAllText(path).ReplaceLineEndings("\n");

    /// <summary>The folder at or above <paramref name="start"/> that holds the solution.</summary>
    /// <exception cref="InvalidOperationException">There is none.</exception>
    public static string FindRepositoryRoot(string start)
    {
        for (string? folder = Path.GetFullPath(start); folder is not null; folder = Path.GetDirectoryName(folder))
        {
            if (File.Exists(Path.Combine(folder, "MnistNative.sln")))
            {
                return folder;
            }
        }
        throw new InvalidOperationException($"{start} is not in a checkout of this repository.");
    }
}
