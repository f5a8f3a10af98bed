namespace MnistNative.Tests.Data;

public sealed class DownloaderTests : IDisposable
{
    private const string Name = "file.gz";

    private readonly TempFolder _folder = new();
    private readonly byte[] _content = MakeContent();
    private readonly byte[] _packed;
    private readonly DatasetFile _file;

    public DownloaderTests()
    {
        _packed = IdxBytes.Gzip(_content);
        _file = new DatasetFile("file", _content.Length, IdxBytes.Sha256(_content));
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Broken_connection_is_continued_where_it_broke()
    {
        int calls = 0;
        using var server = new TinyServer(request =>
        {
            TinyServer.Reply whole = TinyServer.Serve(Files(), request);
            return calls++ < 2 ? whole with { SendOnly = 10_000 } : whole;
        });
        var received = new List<long>();

        Assert.Empty(await FetchAsync(received.Add, server.Address));

        AssertComplete();
        Assert.Equal([null, 10_000, 20_000], server.Requests.Select(request => request.From));
        Assert.Equal(received.Order(), received);
        Assert.Equal(_packed.Length, received[^1]);
    }

    [Fact]
    public async Task Partial_file_of_an_earlier_call_is_continued()
    {
        using (var breaking = new TinyServer(request => TinyServer.Serve(Files(), request) with { SendOnly = 5_000 }))
        {
            IReadOnlyList<DownloadFailure> failures = await FetchAsync(null, breaking.Address, attempts: 1);
            Assert.Single(failures);
        }

        Assert.Equal(_packed[..5_000], File.ReadAllBytes(_folder.File(Name + ".partial")));
        Assert.False(File.Exists(_folder.File(Name)), "an incomplete file must not appear under its name");

        using var server = TinyServer.Of(Files());
        Assert.Empty(await FetchAsync(null, server.Address));
        AssertComplete();
        Assert.Equal([5_000], server.Requests.Select(request => request.From));
    }

    [Fact]
    public async Task Server_that_ignores_ranges_sends_the_whole_file()
    {
        File.WriteAllBytes(_folder.File(Name + ".partial"), _packed[..7_000]);
        using var server = new TinyServer(request => new TinyServer.Reply(200, _packed));

        Assert.Empty(await FetchAsync(null, server.Address));

        AssertComplete();
        Assert.Equal([7_000], server.Requests.Select(request => request.From));
    }

    [Fact]
    public async Task Server_that_sends_another_range_is_asked_for_the_whole_file()
    {
        File.WriteAllBytes(_folder.File(Name + ".partial"), _packed[..7_000]);
        using var server = new TinyServer(request => request.From is null
            ? new TinyServer.Reply(200, _packed)
            : new TinyServer.Reply(206, _packed[100..]) { Range = $"bytes 100-{_packed.Length - 1}/{_packed.Length}" });

        Assert.Empty(await FetchAsync(null, server.Address));
        AssertComplete();
    }

    [Fact]
    public async Task Complete_partial_file_needs_no_more_bytes()
    {
        File.WriteAllBytes(_folder.File(Name + ".partial"), _packed);
        using var server = TinyServer.Of(Files());

        Assert.Empty(await FetchAsync(null, server.Address));
        AssertComplete();
    }

    [Fact]
    public async Task Partial_file_of_another_copy_is_dropped()
    {
        File.WriteAllBytes(_folder.File(Name + ".partial"), new byte[3_000]);
        using var server = TinyServer.Of(Files());

        Assert.Empty(await FetchAsync(null, server.Address));

        AssertComplete();
        Assert.Equal([3_000, null], server.Requests.Select(request => request.From));
    }

    [Fact]
    public async Task Wrong_content_is_deleted_and_the_next_mirror_asked()
    {
        byte[] other = (byte[])_content.Clone();
        other[5] ^= 1;
        using var wrong = TinyServer.Of(new() { [Name] = IdxBytes.Gzip(other) });
        using var html = TinyServer.Of(new() { [Name] = "<html>sign in</html>"u8.ToArray() });
        using var endless = TinyServer.Of(new() { [Name] = IdxBytes.Gzip(new byte[_content.Length + 1]) });
        using var good = TinyServer.Of(Files());

        Assert.Empty(await FetchAsync(null, wrong.Address, html.Address, endless.Address, good.Address));

        AssertComplete();
        Assert.Equal([null], good.Requests.Select(request => request.From)); // nothing of the wrong files was kept
        Assert.Single(wrong.Requests);
    }

    [Fact]
    public async Task Wrong_content_everywhere_leaves_nothing_behind()
    {
        byte[] other = (byte[])_content.Clone();
        other[5] ^= 1;
        using var wrong = TinyServer.Of(new() { [Name] = IdxBytes.Gzip(other) });

        IReadOnlyList<DownloadFailure> failures = await FetchAsync(null, wrong.Address);

        Assert.Contains($"expected {_file.Sha256}", Assert.Single(failures).What);
        Assert.Empty(Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public async Task Missing_file_and_dead_server_lead_to_the_next_mirror()
    {
        using var missing = TinyServer.Of([]);
        using var good = TinyServer.Of(Files());

        Assert.Empty(await FetchAsync(null, missing.Address, new Uri("http://127.0.0.1:1/"), good.Address));

        AssertComplete();
        Assert.Single(missing.Requests);
    }

    [Fact]
    public async Task Next_mirror_continues_what_the_first_began()
    {
        using var breaking = new TinyServer(request => request.From is null
            ? new TinyServer.Reply(200, _packed) { SendOnly = 9_000 }
            : new TinyServer.Reply(503, []));
        using var good = TinyServer.Of(Files());

        Assert.Empty(await FetchAsync(null, breaking.Address, good.Address));

        AssertComplete();
        Assert.Equal([9_000], good.Requests.Select(request => request.From));
    }

    [Fact]
    public async Task Silent_server_is_given_up()
    {
        using var silent = new TinyServer(request => new TinyServer.Reply(200, _packed) { SendOnly = 100, ThenHang = true });
        var downloader = new Downloader { Attempts = 1, RetryDelay = TimeSpan.Zero, StallTimeout = TimeSpan.FromSeconds(0.3) };

        IReadOnlyList<DownloadFailure> failures = await downloader.FetchAsync(_file, [silent.Address], _folder.Path, null, default);

        Assert.Contains("no data for 0.3 seconds", Assert.Single(failures).What);
    }

    [Fact]
    public async Task Full_disk_is_what_the_mirror_failed_by()
    {
        Assert.SkipUnless(File.Exists("/dev/full"), "the system has no device that is always full");
        File.CreateSymbolicLink(_folder.File(Name + ".partial"), "/dev/full");

        // As the answer to a range: the device cannot be cut to no bytes, as a file is for a whole answer.
        using var server = new TinyServer(request =>
            new TinyServer.Reply(206, _packed) { Range = $"bytes 0-{_packed.Length - 1}/{_packed.Length}" });

        IReadOnlyList<DownloadFailure> failures = await FetchAsync(null, server.Address);

        DownloadFailure failure = Assert.Single(failures);
        Assert.Equal($"{server.Address}{Name}", failure.Where);
        Assert.Contains("No space left on device", failure.What);
        Assert.Equal(3, server.Requests.Count);
        Assert.Empty(Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public async Task Name_that_cannot_be_given_is_a_failure_and_the_content_stays()
    {
        Directory.CreateDirectory(_folder.File(Name));
        using var server = TinyServer.Of(Files());

        IReadOnlyList<DownloadFailure> failures = await FetchAsync(null, server.Address);

        Assert.Equal(_folder.File(Name), Assert.Single(failures).Where);
        Assert.Equal(_packed, File.ReadAllBytes(_folder.File(Name + ".partial")));
    }

    [Fact]
    public async Task Cancelling_keeps_what_arrived()
    {
        using var cancel = new CancellationTokenSource();
        using var server = new TinyServer(request => new TinyServer.Reply(200, _packed) { SendOnly = 20_000, ThenHang = true });
        Task fetch = new Downloader().FetchAsync(_file, [server.Address], _folder.Path, null, cancel.Token);
        while (!File.Exists(_folder.File(Name + ".partial")) || server.Requests.IsEmpty)
        {
            await Task.Delay(10, TestContext.Current.CancellationToken);
        }

        await Task.Delay(300, TestContext.Current.CancellationToken);
        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => fetch);
        Assert.Equal(_packed[..20_000], File.ReadAllBytes(_folder.File(Name + ".partial")));
        Assert.False(File.Exists(_folder.File(Name)));
    }

    [Fact]
    public async Task Two_at_once_download_once()
    {
        using var server = TinyServer.Of(Files());

        IReadOnlyList<DownloadFailure>[] results = await Task.WhenAll(
            Enumerable.Range(0, 3).Select(_ => FetchAsync(null, server.Address)));

        Assert.All(results, Assert.Empty);
        AssertComplete();
        Assert.Single(server.Requests);
    }

    private static byte[] MakeContent()
    {
        byte[] content = new byte[50_000];
        new Random(1).NextBytes(content); // does not compress
        return content;
    }

    private Dictionary<string, byte[]> Files() => new() { [Name] = _packed };

    private Task<IReadOnlyList<DownloadFailure>> FetchAsync(Action<long>? received, params Uri[] mirrors) =>
        FetchAsync(received, 3, mirrors);

    private Task<IReadOnlyList<DownloadFailure>> FetchAsync(Action<long>? received, Uri mirror, int attempts) =>
        FetchAsync(received, attempts, mirror);

    private Task<IReadOnlyList<DownloadFailure>> FetchAsync(Action<long>? received, int attempts, params Uri[] mirrors) =>
        new Downloader { Attempts = attempts, RetryDelay = TimeSpan.Zero }.FetchAsync(
            _file, mirrors, _folder.Path, received is null ? null : (bytes, _) => received(bytes), default);

    private void AssertComplete()
    {
        Assert.Equal(_packed, File.ReadAllBytes(_folder.File(Name)));
        Assert.Equal([_folder.File(Name)], Directory.GetFiles(_folder.Path));
    }
}
