using System.Diagnostics;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;

namespace MnistNative.Interop;

/// <summary>
/// Finds and loads the native library once, before the first call, and checks that it is of this assembly's version.
/// What was tried is kept and becomes the text of the exception if nothing fits. A failure is not remembered: the next
/// call tries again.
/// </summary>
internal static unsafe class NativeLibraryLoader
{
    /// <summary>Environment variable with the full path of the library to load instead of looking for one.</summary>
    public const string PathVariable = "MNISTNATIVE_LIBRARY_PATH";

    private static readonly string[] s_supportedPlatforms =
    [
        "linux-x64", "linux-arm64", "linux-musl-x64", "linux-musl-arm64", "win-x64", "win-arm64", "osx-x64", "osx-arm64",
    ];

    private static readonly object s_gate = new();
    private static volatile bool s_loaded;
    private static bool s_resolverSet;
    private static nint s_library;
    private static string? s_libraryPath;

    /// <summary>What was tried, one attempt a line.</summary>
    public static string Trace { get; private set; } = "";

    /// <summary>Loads the library unless that is done.</summary>
    /// <exception cref="DllNotFoundException">No library was found; the text says where it was looked for.</exception>
    /// <exception cref="PlatformNotSupportedException">The same, on a platform that there is no library for.</exception>
    /// <exception cref="MnistNativeException">The library is of another version.</exception>
    public static void EnsureLoaded()
    {
        if (!s_loaded)
        {
            Load();
        }
    }

    /// <summary>
    /// Full path of a backend's plugin: what the environment variable <paramref name="variable"/> says, else the first
    /// file that is there, beside the native library, beside the application, in its package folder and in the folders
    /// where the runtime looks for libraries of packages (those of NuGet's cache, or the one that a single file unpacks
    /// itself to). If there is none, the place where it should lie.
    /// </summary>
    internal static string PluginPath(string name, string variable)
    {
        string? forced = Environment.GetEnvironmentVariable(variable);
        if (!string.IsNullOrEmpty(forced))
        {
            return Path.GetFullPath(forced);
        }

        string file = name + (OperatingSystem.IsWindows() ? ".dll" : OperatingSystem.IsMacOS() ? ".dylib" : ".so");
        string folder = AppContext.BaseDirectory;
        var places = new List<string>();
        if (Path.GetDirectoryName(s_libraryPath) is { Length: > 0 } beside)
        {
            places.Add(Path.GetFullPath(Path.Combine(beside, file)));
        }

        places.Add(Path.Combine(folder, file));
        if (CurrentPlatform() is string platform)
        {
            places.Add(Path.Combine(folder, "runtimes", platform, "native", file));
        }

        if (AppContext.GetData("NATIVE_DLL_SEARCH_DIRECTORIES") is string searched)
        {
            places.AddRange(searched.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
                .Select(directory => Path.Combine(directory, file)));
        }

        return places.Find(File.Exists) ?? places[0];
    }

    /// <summary>The portable runtime identifier, or null where there is no native library.</summary>
    internal static string? PlatformOf(string? os, Architecture architecture, bool musl)
    {
        string? processor = architecture switch
        {
            Architecture.X64 => "x64",
            Architecture.Arm64 => "arm64",
            _ => null,
        };
        return os is null || processor is null ? null : $"{os}{(musl && os == "linux" ? "-musl" : "")}-{processor}";
    }

    /// <summary>Whether a .NET runtime of this identifier is built for musl: the portable one, or Alpine's own.</summary>
    internal static bool IsMusl(string runtimeIdentifier) =>
        runtimeIdentifier.Contains("musl", StringComparison.Ordinal)
            || runtimeIdentifier.StartsWith("alpine", StringComparison.Ordinal);

    /// <summary>
    /// What is thrown when no library could be loaded, with the text of what was tried: on a platform that there is none
    /// for (<paramref name="platform"/> is null) it lists the supported ones.
    /// </summary>
    internal static Exception NotFound(string what, string? platform, string trace, Exception? cause)
    {
        string text = $"{what} Tried:{Environment.NewLine}{trace.TrimEnd()}{Environment.NewLine}" +
            $"{PathVariable} can name the file.";
        return platform is null
            ? new PlatformNotSupportedException(
                $"There is no native library for {RuntimeInformation.RuntimeIdentifier}; " +
                $"supported are {string.Join(", ", s_supportedPlatforms)}. {text}",
                cause)
            : new DllNotFoundException(text, cause);
    }

    /// <summary>The text about a library of another version, which names both files.</summary>
    internal static string MismatchMessage(int managedVersion, int nativeVersion, string nativeFile)
    {
        AssemblyName assembly = typeof(NativeLibraryLoader).Assembly.GetName();
        string managedFile = Path.Combine(AppContext.BaseDirectory, $"{assembly.Name}.dll");
        return $"The managed assembly {(File.Exists(managedFile) ? $"\"{managedFile}\"" : assembly.Name)} (version {assembly.Version}) " +
            $"needs interface version {managedVersion} of the native library, and \"{nativeFile}\" has {nativeVersion}. " +
            "Install managed and native parts of the same version.";
    }

    private static void Load()
    {
        lock (s_gate)
        {
            if (s_loaded)
            {
                return;
            }

            var trace = new StringBuilder();
            string? platform = CurrentPlatform();
            try
            {
                Find(platform, trace);
                SetResolver(trace);
                Verify(trace);
                s_loaded = true;
            }
            finally
            {
                Trace = trace.ToString();
            }
        }
    }

    private static void Find(string? platform, StringBuilder trace)
    {
        if (s_library != 0)
        {
            return;
        }

        string? forced = Environment.GetEnvironmentVariable(PathVariable);
        if (!string.IsNullOrEmpty(forced))
        {
            if (!TryLoad(forced, trace))
            {
                throw NotFound($"{PathVariable} names a file that cannot be loaded.", platform, trace.ToString(), null);
            }

            return;
        }

        string file = NativeMethods.LibraryName
            + (OperatingSystem.IsWindows() ? ".dll" : OperatingSystem.IsMacOS() ? ".dylib" : ".so");
        string folder = AppContext.BaseDirectory;
        _ = TryLoad(Path.Combine(folder, file), trace)
            || (platform is not null && TryLoad(Path.Combine(folder, "runtimes", platform, "native", file), trace));
    }

    private static bool TryLoad(string path, StringBuilder trace)
    {
        if (!File.Exists(path))
        {
            trace.AppendLine($"  {path}: no such file");
            return false;
        }

        try
        {
            s_library = NativeLibrary.Load(path);
            s_libraryPath = path;
            trace.AppendLine($"  {path}: loaded");
            return true;
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
        {
            trace.AppendLine($"  {path}: {e.Message.ReplaceLineEndings(" ")}");
            return false;
        }
    }

    private static void SetResolver(StringBuilder trace)
    {
        if (s_resolverSet)
        {
            return;
        }

        try
        {
            NativeLibrary.SetDllImportResolver(
                typeof(NativeLibraryLoader).Assembly,
                static (name, _, _) => name == NativeMethods.LibraryName ? s_library : 0);
        }
        catch (InvalidOperationException)
        {
            trace.AppendLine("  a resolver for this assembly was set by the application, which decides");
        }

        s_resolverSet = true;
    }

    // The first call into the library. Where nothing was found above, the runtime looks in its own places (the folders
    // of the application's packages, the system's, or the executable itself when it is linked in).
    private static void Verify(StringBuilder trace)
    {
        int version;
        try
        {
            version = NativeMethods.AbiVersion();
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
        {
            trace.AppendLine($"  the runtime's own search: {e.Message.ReplaceLineEndings(" ")}");
            throw NotFound($"The native library {NativeMethods.LibraryName} was not found.", CurrentPlatform(), trace.ToString(), e);
        }
        catch (EntryPointNotFoundException e)
        {
            throw new MnistNativeException(
                MnistNativeStatus.VersionMismatch,
                $"\"{LoadedFile()}\" is not the native library of MnistNative: {e.Message}",
                e);
        }

        if (version != NativeConstants.AbiVersion)
        {
            throw new MnistNativeException(
                MnistNativeStatus.VersionMismatch,
                MismatchMessage(NativeConstants.AbiVersion, version, LoadedFile()));
        }
    }

    private static string LoadedFile()
    {
        if (s_libraryPath is not null)
        {
            return s_libraryPath;
        }

        using Process process = Process.GetCurrentProcess();
        foreach (ProcessModule module in process.Modules)
        {
            if (module.ModuleName.StartsWith(NativeMethods.LibraryName, StringComparison.Ordinal))
            {
                return module.FileName;
            }
        }

        return NativeMethods.LibraryName;
    }

    private static string? CurrentPlatform() => PlatformOf(
        OperatingSystem.IsLinux() ? "linux" : OperatingSystem.IsWindows() ? "win" : OperatingSystem.IsMacOS() ? "osx" : null,
        RuntimeInformation.ProcessArchitecture,
        IsMusl(RuntimeInformation.RuntimeIdentifier));
}
