using System.Text;

namespace MnistNative;

/// <summary>Finds the files of a data set, downloads what is missing, and reads them.</summary>
/// <remarks>The init properties are the seams for tests; their defaults are what users get.</remarks>
internal sealed class DatasetLoader(DatasetSource source)
{
    /// <summary>The environment variable that names the user's data folder.</summary>
    public const string DataVariable = "MNISTNATIVE_DATA";

    /// <summary>Value of <see cref="DataVariable"/>.</summary>
    public string? DataFolder { get; init; } = Environment.GetEnvironmentVariable(DataVariable);

    /// <summary>The user's cache folder of this library; null when the machine has none.</summary>
    public string? CacheFolder { get; init; } = DefaultCacheFolder(
        OperatingSystem.IsLinux() || OperatingSystem.IsFreeBSD(), Environment.GetEnvironmentVariable);

    /// <summary>The data sets for which another one's files can be taken.</summary>
    public IReadOnlyList<DatasetSource> Known { get; init; } = DatasetSource.Known;

    /// <summary>Fetches the files that no place has.</summary>
    public Downloader Downloader { get; init; } = new();

    /// <summary>Loads the data set; see <see cref="Mnist.LoadAsync"/>.</summary>
    public async Task<MnistData> LoadAsync(
        string? folder, IProgress<DownloadProgress>? progress, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        string[] files = folder is null
            ? await FindOrDownloadAsync(progress, cancellationToken).ConfigureAwait(false)
            : FindInGivenFolder(folder);

        // Reading is unpacking, which keeps a core busy: away from the caller's thread.
        return await Task.Run(() => Read(files, cancellationToken), cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The cache folder of this library, by the custom of the operating system.</summary>
    internal static string? DefaultCacheFolder(bool freedesktop, Func<string, string?> variable)
    {
        string? root;
        if (freedesktop)
        {
            // The base directory specification says that a relative path is to be ignored.
            root = variable("XDG_CACHE_HOME");
            if (!Path.IsPathRooted(root))
            {
                string? home = variable("HOME");
                root = string.IsNullOrEmpty(home) ? null : Path.Combine(home, ".cache");
            }
        }
        else
        {
            root = Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData);
        }

        return string.IsNullOrEmpty(root) ? null : Path.Combine(root, "mnistnative");
    }

    private MnistData Read(string[] files, CancellationToken cancellationToken)
    {
        try
        {
            ImageDataset train = IdxFile.ReadDataset(files[0], files[1], classCount: 10);
            cancellationToken.ThrowIfCancellationRequested();
            ImageDataset test = IdxFile.ReadDataset(files[2], files[3], classCount: 10);
            if (test.Shape != train.Shape)
            {
                throw new InvalidDataException(
                    $"{files[2]} holds images of shape {test.Shape}, but {files[0]} of shape {train.Shape}.");
            }

            return new MnistData(train, test);
        }
        catch (InvalidDataException e) when (IsCached(files[0]))
        {
            throw new InvalidDataException($"{e.Message} Delete the file and it is downloaded again.", e);
        }
    }

    private bool IsCached(string file) =>
        CacheFolder is not null && Path.GetDirectoryName(file) == Path.Combine(CacheFolder, source.FolderName);

    private string[] FindInGivenFolder(string folder)
    {
        if (!Directory.Exists(folder))
        {
            throw new DirectoryNotFoundException($"The folder '{folder}' with {source.Name} does not exist.");
        }

        Place place = LookIn(folder);
        if (place.Files is not null)
        {
            return place.Files;
        }

        if (place.OtherDataset is not null)
        {
            throw new InvalidDataException($"The files in '{folder}' are {place.OtherDataset}, not {source.Name}.");
        }

        throw new FileNotFoundException(
            $"The folder '{folder}' lacks files of {source.Name}: {place.Missing} (each plain or with .gz).");
    }

    private async Task<string[]> FindOrDownloadAsync(
        IProgress<DownloadProgress>? progress, CancellationToken cancellationToken)
    {
        var log = new StringBuilder();
        if (string.IsNullOrEmpty(DataFolder))
        {
            Say(log, $"environment variable {DataVariable}", "not set");
        }
        else if (Try(DataFolder, $"{DataVariable} = {DataFolder}", log) is { } files)
        {
            return files;
        }

        string? cache = CacheFolder is null ? null : Path.Combine(CacheFolder, source.FolderName);
        if (cache is null)
        {
            Say(log, "cache folder", "this user has none (neither XDG_CACHE_HOME nor HOME is set)");
        }
        else if (Try(cache, $"cache folder {cache}", log) is { } files)
        {
            return files;
        }

        foreach (string system in source.SystemFolders)
        {
            if (Try(system, $"system folder {system}", log) is { } files)
            {
                return files;
            }
        }

        if (cache is null)
        {
            throw Unavailable(log, null);
        }

        return await DownloadAsync(cache, log, progress, cancellationToken).ConfigureAwait(false);
    }

    private string[]? Try(string folder, string name, StringBuilder log)
    {
        if (!Directory.Exists(folder))
        {
            Say(log, name, "does not exist");
            return null;
        }

        Place place = LookIn(folder);
        if (place.Files is null)
        {
            Say(log, name, place.OtherDataset is null ? $"lacks {place.Missing}" : $"holds {place.OtherDataset}");
        }

        return place.Files;
    }

    // The data set's own subfolder first: file names directly in the folder do not tell which data set it is.
    private Place LookIn(string folder)
    {
        Place inside = LookInExactly(Path.Combine(folder, source.FolderName));
        return inside.Files is null ? LookInExactly(folder) : inside;
    }

    private Place LookInExactly(string folder)
    {
        string?[] found = [.. source.Files.Select(file => file.Find(folder))];
        string[] missing = [.. source.Files.Where((_, i) => found[i] is null).Select(file => file.Name)];
        if (missing.Length > 0)
        {
            return new Place(null, string.Join(", ", missing), null);
        }

        string? other = OtherDataset(found[3]!);
        return other is null ? new Place(found!, "", null) : new Place(null, "", other);
    }

    // MNIST and Fashion-MNIST have the same file names; the small file of test labels tells them apart.
    private string? OtherDataset(string testLabels)
    {
        try
        {
            using FileStream file = File.OpenRead(testLabels);
            string sum = ContentHash.ComputeAsync(file, 1 << 20, CancellationToken.None).GetAwaiter().GetResult();
            return Known
                .FirstOrDefault(known => known.Name != source.Name && known.Files[3].Sha256 == sum)?.Name;
        }
        catch (InvalidDataException)
        {
            return null; // damaged: reading it says how
        }
    }

    private async Task<string[]> DownloadAsync(
        string cache, StringBuilder log, IProgress<DownloadProgress>? progress, CancellationToken cancellationToken)
    {
        try
        {
            Directory.CreateDirectory(cache);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Say(log, $"download into {cache}", e.Message);
            throw Unavailable(log, e);
        }

        // Some of these files, or all: what is downloaded besides them would be mixed with them.
        if (source.Files[3].Find(cache) is { } labels && OtherDataset(labels) is { } other)
        {
            throw new InvalidDataException(
                $"The files in '{cache}' are {other}, not {source.Name}. Delete them and {source.Name} is downloaded again.");
        }

        DatasetFile[] missing = [.. source.Files.Where(file => file.Find(cache) is null)];
        for (int i = 0; i < missing.Length; i++)
        {
            DatasetFile file = missing[i];
            int index = i;
            Action<long, long?>? report = progress is null
                ? null
                : (received, total) => progress.Report(new(file.ArchiveName, index, missing.Length, received, total));
            IReadOnlyList<DownloadFailure> failures = await Downloader
                .FetchAsync(file, source.Mirrors, cache, report, cancellationToken).ConfigureAwait(false);
            if (failures.Count > 0)
            {
                foreach (DownloadFailure failure in failures)
                {
                    Say(log, failure.Where, failure.What);
                }

                throw Unavailable(log, failures[^1].Cause);
            }
        }

        return [.. source.Files.Select(file => file.Find(cache)
            ?? throw new FileNotFoundException($"{file.Name} disappeared from the cache folder {cache} meanwhile."))];
    }

    private DatasetUnavailableException Unavailable(StringBuilder log, Exception? cause) => new(
        $"{source.Name} is neither on this machine nor could it be downloaded. Tried:{log}{Environment.NewLine}" +
        $"Put the files {string.Join(", ", source.Files.Select(file => file.Name))} (plain or with .gz) into a folder " +
        $"and name it: LoadAsync(folder), or the environment variable {DataVariable}. SyntheticDigits needs no files.",
        cause);

    private static void Say(StringBuilder log, string where, string what) =>
        log.Append(Environment.NewLine).Append("  - ").Append(where).Append(": ").Append(what);

    private readonly record struct Place(string[]? Files, string Missing, string? OtherDataset);
}
