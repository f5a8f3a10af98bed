namespace MnistNative.Tests.Data;

public sealed class DatasetLoaderTests : IDisposable
{
    private readonly TempFolder _folder = new();
    private readonly Dictionary<string, byte[]> _files = IdxBytes.Dataset();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(false, "")]
    [InlineData(true, "")]
    [InlineData(true, "tiny")]
    public async Task Given_folder_is_read(bool gzip, string sub)
    {
        IdxBytes.Write(_folder.File(sub), _files, gzip);

        MnistData data = await Loader().LoadAsync(_folder.Path, null, default);

        Assert.Equal([1, 2, 3], data.Train.Labels.ToArray());
        Assert.Equal([4, 5], data.Test.Labels.ToArray());
        Assert.Equal(10, data.Test.ClassCount);
        Assert.Equal(100, data.Test.ByteImages.Span[0]);
    }

    [Fact]
    public async Task Names_with_a_dot_are_understood()
    {
        foreach ((string name, byte[] content) in _files)
        {
            File.WriteAllBytes(_folder.File(name.Replace("-idx", ".idx")), content);
        }

        Assert.Equal(3, (await Loader().LoadAsync(_folder.Path, null, default)).Train.Count);
    }

    [Fact]
    public async Task Given_folder_that_lacks_files_is_an_error_and_nothing_is_downloaded()
    {
        using var server = TinyServer.Of(Packed());
        _files.Remove("t10k-labels-idx1-ubyte");
        IdxBytes.Write(_folder.File("given"), _files);
        DatasetLoader loader = Loader(IdxBytes.Source(IdxBytes.Dataset(), server.Address));

        var missing = await Assert.ThrowsAsync<FileNotFoundException>(() => loader.LoadAsync(_folder.File("given"), null, default));
        await Assert.ThrowsAsync<DirectoryNotFoundException>(() => loader.LoadAsync(_folder.File("absent"), null, default));

        Assert.Contains("t10k-labels-idx1-ubyte", missing.Message);
        Assert.DoesNotContain("train-images", missing.Message);
        Assert.Empty(server.Requests);
    }

    [Theory]
    [InlineData("")]
    [InlineData("tiny")]
    public async Task Data_folder_comes_before_the_cache(string sub)
    {
        IdxBytes.Write(Path.Combine(_folder.File("data"), sub), _files);
        IdxBytes.Write(_folder.File("cache/tiny"), IdxBytes.Dataset().ToDictionary(
            f => f.Key, f => f.Key.Contains("train-labels", StringComparison.Ordinal) ? IdxBytes.Labels(7, 7, 7) : f.Value));

        MnistData fromData = await Loader(dataFolder: _folder.File("data")).LoadAsync(null, null, default);
        MnistData fromCache = await Loader().LoadAsync(null, null, default);

        Assert.Equal([1, 2, 3], fromData.Train.Labels.ToArray());
        Assert.Equal([7, 7, 7], fromCache.Train.Labels.ToArray());
    }

    [Fact]
    public async Task System_folder_comes_after_the_cache()
    {
        IdxBytes.Write(_folder.File("system"), _files);
        DatasetLoader loader = Loader(IdxBytes.Source(_files) with { SystemFolders = [_folder.File("system")] });

        Assert.Equal(3, (await loader.LoadAsync(null, null, default)).Train.Count);
    }

    [Fact]
    public async Task Files_of_a_known_other_data_set_are_not_taken()
    {
        // As MNIST and Fashion-MNIST: the same names, and the test labels give the data set away.
        Dictionary<string, byte[]> others = OtherFiles();
        IdxBytes.Write(_folder.File("data"), others);
        DatasetLoader loader = LoaderThatKnows(others, IdxBytes.Source(_files), _folder.File("data"));

        var given = await Assert.ThrowsAsync<InvalidDataException>(() => loader.LoadAsync(_folder.File("data"), null, default));
        var searched = await Assert.ThrowsAsync<DatasetUnavailableException>(() => loader.LoadAsync(null, null, default));

        Assert.Contains("are Other, not Tiny", given.Message);
        Assert.Contains("holds Other", searched.Message);
    }

    [Theory]
    [InlineData(4)]
    [InlineData(1)]
    public async Task Files_of_another_data_set_in_the_cache_are_named_and_not_mixed_with_downloads(int present)
    {
        Dictionary<string, byte[]> others = OtherFiles();
        IdxBytes.Write(_folder.File("cache/tiny"), others.TakeLast(present).ToDictionary(), gzip: true);
        using var server = TinyServer.Of(Packed());
        DatasetLoader loader = LoaderThatKnows(others, IdxBytes.Source(_files, server.Address));

        var error = await Assert.ThrowsAsync<InvalidDataException>(() => loader.LoadAsync(null, null, default));

        Assert.Equal(
            $"The files in '{_folder.File("cache/tiny")}' are Other, not Tiny. Delete them and Tiny is downloaded again.",
            error.Message);
        Assert.Empty(server.Requests);
    }

    [Fact]
    public async Task Missing_files_are_downloaded_once_into_the_cache()
    {
        using var server = TinyServer.Of(Packed());
        DatasetLoader loader = Loader(IdxBytes.Source(_files, server.Address));
        var reports = new Reports();

        MnistData data = await loader.LoadAsync(null, reports, default);
        MnistData again = await loader.LoadAsync(null, null, default);

        Assert.Equal([1, 2, 3], data.Train.Labels.ToArray());
        Assert.Equal([1, 2, 3], again.Train.Labels.ToArray());
        Assert.Equal(_files.Keys.Select(name => name + ".gz"), server.Requests.Select(request => request.Name));
        Assert.Equal(
            _files.Keys.Select(name => name + ".gz").Order(),
            Directory.GetFiles(_folder.File("cache/tiny")).Select(Path.GetFileName).Order());
        int size = Packed()["t10k-labels-idx1-ubyte.gz"].Length;
        Assert.Equal(new DownloadProgress("t10k-labels-idx1-ubyte.gz", 3, 4, size, size), reports.All[^1]);
        Assert.Equal(1, reports.All[^1].Fraction);
        Assert.Equal(4, reports.All.Select(report => report.FileName).Distinct().Count());
    }

    [Fact]
    public async Task Only_what_the_cache_lacks_is_downloaded()
    {
        using var server = TinyServer.Of(Packed());
        IdxBytes.Write(_folder.File("cache/tiny"), _files.Take(3).ToDictionary());

        await Loader(IdxBytes.Source(_files, server.Address)).LoadAsync(null, null, default);

        Assert.Equal(["t10k-labels-idx1-ubyte.gz"], server.Requests.Select(request => request.Name));
    }

    [Fact]
    public async Task Offline_one_message_tells_every_place_and_what_to_do()
    {
        using var server = new TinyServer(_ => new TinyServer.Reply(503, []));
        DatasetSource source = IdxBytes.Source(_files, new Uri("http://127.0.0.1:1/"), server.Address) with
        {
            SystemFolders = [_folder.File("system")],
        };
        Directory.CreateDirectory(_folder.File("data"));
        DatasetLoader loader = Loader(source, _folder.File("data"));

        var error = await Assert.ThrowsAsync<DatasetUnavailableException>(() => loader.LoadAsync(null, null, default));

        Assert.Contains($"MNISTNATIVE_DATA = {_folder.File("data")}: lacks train-images-idx3-ubyte, ", error.Message);
        Assert.Contains($"cache folder {_folder.File("cache")}", error.Message);
        Assert.Contains($"system folder {_folder.File("system")}: does not exist", error.Message);
        Assert.Contains("http://127.0.0.1:1/train-images-idx3-ubyte.gz: ", error.Message);
        Assert.Contains($"{server.Address}train-images-idx3-ubyte.gz: HTTP 503", error.Message);
        Assert.Contains("LoadAsync(folder)", error.Message);
        Assert.Empty(Directory.GetFiles(_folder.File("cache/tiny")));
    }

    [Fact]
    public async Task Damaged_file_in_the_cache_is_named()
    {
        _files["t10k-images-idx3-ubyte"] = _files["t10k-images-idx3-ubyte"][..^1];
        IdxBytes.Write(_folder.File("cache/tiny"), _files);

        var error = await Assert.ThrowsAsync<InvalidDataException>(() => Loader().LoadAsync(null, null, default));

        Assert.StartsWith(_folder.File("cache/tiny/t10k-images-idx3-ubyte"), error.Message);
        Assert.Contains("Delete the file", error.Message);
    }

    [Fact]
    public async Task Cancelled_token_ends_the_work()
    {
        IdxBytes.Write(_folder.Path, _files);

        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => Loader().LoadAsync(_folder.Path, null, new CancellationToken(canceled: true)));
    }

    [Theory]
    [InlineData("/x/cache", "/home/u", "/x/cache/mnistnative")]
    [InlineData("", "/home/u", "/home/u/.cache/mnistnative")]
    [InlineData("relative", "/home/u", "/home/u/.cache/mnistnative")]
    [InlineData(null, "/home/u", "/home/u/.cache/mnistnative")]
    [InlineData(null, null, null)]
    public void Cache_folder_follows_the_base_directory_specification(string? xdg, string? home, string? expected)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "the paths are those of Unix");

        Assert.Equal(expected, DatasetLoader.DefaultCacheFolder(true, name => name == "HOME" ? home : xdg));
    }

    [Fact]
    public async Task Real_mnist_has_the_known_statistics()
    {
        string? folder = Environment.GetEnvironmentVariable(DatasetLoader.DataVariable);
        Assert.SkipWhen(string.IsNullOrEmpty(folder), $"{DatasetLoader.DataVariable} does not name a folder with MNIST");
        MnistData data;
        try
        {
            data = await Mnist.LoadAsync(folder);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            Assert.Skip(e.Message);
            throw;
        }

        (float[] mean, float[] std) = data.Train.ComputeMeanStd();
        Assert.Equal((60_000, 10_000), (data.Train.Count, data.Test.Count));
        Assert.Equal(new ImageShape(1, 28, 28), data.Train.Shape);
        Assert.Equal(0.1307f, mean[0], 5e-5f);
        Assert.Equal(0.3081f, std[0], 5e-5f);
    }

    [Fact]
    public async Task Real_fashion_mnist_has_the_known_statistics()
    {
        string folder = DatasetSource.FashionMnist.SystemFolders[0];
        Assert.SkipUnless(Directory.Exists(folder), $"{folder} does not exist (Debian's package dataset-fashion-mnist)");

        MnistData data = await FashionMnist.LoadAsync(folder);

        (float[] mean, float[] std) = data.Train.ComputeMeanStd();
        Assert.Equal((60_000, 10_000), (data.Train.Count, data.Test.Count));
        Assert.Equal(0.2860f, mean[0], 5e-5f);
        Assert.Equal(0.3530f, std[0], 5e-5f);
        for (int i = 0; i < 4; i++)
        {
            DatasetFile file = DatasetSource.FashionMnist.Files[i];
            using FileStream stream = File.OpenRead(file.Find(folder)!);
            Assert.Equal(file.Sha256, await ContentHash.ComputeAsync(stream, file.Length, default));
        }

        await Assert.ThrowsAsync<InvalidDataException>(() => Mnist.LoadAsync(folder));
    }

    private Dictionary<string, byte[]> OtherFiles() => _files.ToDictionary(
        f => f.Key, f => f.Key.StartsWith("t10k-labels", StringComparison.Ordinal) ? IdxBytes.Labels(6, 7) : f.Value);

    private DatasetLoader LoaderThatKnows(
        Dictionary<string, byte[]> others, DatasetSource source, string? dataFolder = null) => new(source)
        {
            DataFolder = dataFolder,
            CacheFolder = _folder.File("cache"),
            Known = [source, IdxBytes.Source(others) with { Name = "Other" }],
        };

    private Dictionary<string, byte[]> Packed() => IdxBytes.Dataset().ToDictionary(f => f.Key + ".gz", f => IdxBytes.Gzip(f.Value));

    private DatasetLoader Loader(DatasetSource? source = null, string? dataFolder = null) =>
        new(source ?? IdxBytes.Source(_files))
        {
            DataFolder = dataFolder,
            CacheFolder = _folder.File("cache"),
            Downloader = new Downloader { RetryDelay = TimeSpan.Zero },
        };

    // Progress<T> reports later, on another thread; a test wants the reports at once and in order.
    private sealed class Reports : IProgress<DownloadProgress>
    {
        public List<DownloadProgress> All { get; } = [];

        public void Report(DownloadProgress value) => All.Add(value);
    }
}
