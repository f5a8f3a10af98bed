namespace MnistNative.Bindgen;

/// <summary>The bindings of this repository.</summary>
public static class Bindings
{
    /// <summary>The header, from the repository's root.</summary>
    public const string HeaderPath = "native/include/mnistnative.h";

    /// <summary>The file that is written, from the repository's root.</summary>
    public const string OutputPath = "managed/MnistNative/Interop/NativeMethods.g.cs";

    /// <summary>The text of the bindings of a header.</summary>
    public static string Generate(string clang, string header) => CSharpWriter.Write(HeaderReader.Read(clang, header));

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
