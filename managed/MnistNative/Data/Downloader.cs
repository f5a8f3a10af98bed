using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;

namespace MnistNative;

/// <summary>Why one address did not give a file.</summary>
internal sealed record DownloadFailure(string Where, string What, Exception? Cause = null);

/// <summary>
/// Fetches files from mirrors into a folder: continues what an earlier attempt left, checks the content, and lets the
/// file appear under its name only when it is complete.
/// </summary>
internal sealed class Downloader
{
    private const long SlackBytes = 1 << 20;

    /// <summary>Makes the handler of a download; tests and proxies put their own here.</summary>
    public Func<HttpMessageHandler> CreateHandler { get; init; } =
        () => new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(15) };

    /// <summary>How often one mirror is asked, when its connections break.</summary>
    public int Attempts { get; init; } = 3;

    /// <summary>The pause before a mirror is asked again.</summary>
    public TimeSpan RetryDelay { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How long a server may stay silent.</summary>
    public TimeSpan StallTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Fetches one file into <paramref name="folder"/>. Until it is complete it is named <c>….partial</c>; that file is
    /// kept when the download is interrupted, and open for this process alone, so that two processes do not write it at
    /// once: the second waits for the first.
    /// </summary>
    /// <returns>Empty when the file is there; otherwise what each mirror said.</returns>
    public async Task<IReadOnlyList<DownloadFailure>> FetchAsync(
        DatasetFile file,
        IReadOnlyList<Uri> mirrors,
        string folder,
        Action<long, long?>? report,
        CancellationToken cancellationToken)
    {
        string target = Path.Combine(folder, file.ArchiveName);
        string partialPath = target + ".partial";
        FileStream? partial = null;
        try
        {
            try
            {
                partial = await OpenPartialAsync(partialPath, cancellationToken).ConfigureAwait(false);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                return [new DownloadFailure(partialPath, e.Message, e)];
            }

            if (File.Exists(target))
            {
                // Another process finished it meanwhile.
                DeleteOpen(ref partial, partialPath);
                return [];
            }

            var failures = new List<DownloadFailure>();
            using var client = new HttpClient(CreateHandler()) { Timeout = Timeout.InfiniteTimeSpan };
            foreach (Uri mirror in mirrors)
            {
                var address = new Uri(mirror, file.ArchiveName);
                (bool complete, string said, Exception? cause) =
                    await FetchFromAsync(client, address, file, partial, report, cancellationToken).ConfigureAwait(false);
                if (complete)
                {
                    try
                    {
                        partial.Flush(flushToDisk: true);
                        await partial.DisposeAsync().ConfigureAwait(false);
                        partial = null;
                        File.Move(partialPath, target, overwrite: true);
                        return [];
                    }
                    catch (Exception e) when (e is IOException or UnauthorizedAccessException)
                    {
                        return [new DownloadFailure(target, e.Message, e)];
                    }
                }

                failures.Add(new DownloadFailure(address.ToString(), said, cause));
            }

            if (failures.Count == 0)
            {
                failures.Add(new DownloadFailure("download", "no address is known"));
            }

            if (partial.Length == 0)
            {
                DeleteOpen(ref partial, partialPath);
            }

            return failures;
        }
        finally
        {
            if (partial is not null)
            {
                await partial.DisposeAsync().ConfigureAwait(false);
            }
        }
    }

    private static void DeleteOpen(ref FileStream? partial, string path)
    {
        partial?.Dispose();
        partial = null;
        File.Delete(path);
    }

    private static async Task<FileStream> OpenPartialAsync(string path, CancellationToken cancellationToken)
    {
        while (true)
        {
            try
            {
                // No buffer: one that a full disk did not take would be written again, and fail again, on closing.
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 0);
            }
            catch (IOException e) when (IsSharingViolation(e))
            {
                await Task.Delay(200, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    // Windows: ERROR_SHARING_VIOLATION. Elsewhere the runtime reports the EWOULDBLOCK of its advisory lock (11 on Linux,
    // 35 on macOS and the BSDs).
    private static bool IsSharingViolation(IOException e) =>
        e.HResult == (OperatingSystem.IsWindows() ? unchecked((int)0x80070020) : OperatingSystem.IsLinux() ? 11 : 35);

    private async Task<(bool Complete, string Said, Exception? Cause)> FetchFromAsync(
        HttpClient client,
        Uri address,
        DatasetFile file,
        FileStream partial,
        Action<long, long?>? report,
        CancellationToken cancellationToken)
    {
        for (int attempt = 1; ; attempt++)
        {
            long start = partial.Length;
            try
            {
                string? refusal = await TransferAsync(client, address, file, partial, report, cancellationToken)
                    .ConfigureAwait(false);
                if (refusal is not null)
                {
                    return (false, refusal, null);
                }

                string? wrong = await CheckAsync(file, partial, cancellationToken).ConfigureAwait(false);
                if (wrong is null)
                {
                    return (true, "", null);
                }

                // Bytes of an earlier attempt may stem from another mirror's copy: once more from the start.
                partial.SetLength(0);
                if (start == 0 || attempt >= Attempts)
                {
                    return (false, wrong, null);
                }
            }
            catch (Exception e) when (IsTransient(e, cancellationToken))
            {
                bool connected = partial.Length > start;
                if (attempt >= Attempts || (!connected && e is HttpRequestException))
                {
                    return (false, Describe(e), e);
                }

                await Task.Delay(RetryDelay, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    private static bool IsTransient(Exception e, CancellationToken cancellationToken) =>
        !cancellationToken.IsCancellationRequested
        && e is HttpRequestException or IOException or OperationCanceledException;

    private string Describe(Exception e) => e switch
    {
        OperationCanceledException => $"no data for {StallTimeout.TotalSeconds:0.#} seconds",
        { InnerException: { } inner } when inner.Message != e.Message => $"{e.Message} {inner.Message}",
        _ => e.Message,
    };

    // Appends the rest of the file to the partial one. Returns why the server refused, or null when all is here.
    private async Task<string?> TransferAsync(
        HttpClient client,
        Uri address,
        DatasetFile file,
        FileStream partial,
        Action<long, long?>? report,
        CancellationToken cancellationToken)
    {
        using var stall = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        stall.CancelAfter(StallTimeout);
        using var request = new HttpRequestMessage(HttpMethod.Get, address);
        long have = partial.Length;
        if (have > 0)
        {
            request.Headers.Range = new RangeHeaderValue(have, null);
        }

        using HttpResponseMessage response = await client
            .SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stall.Token).ConfigureAwait(false);
        if (response.StatusCode == HttpStatusCode.RequestedRangeNotSatisfiable && have > 0)
        {
            return null; // nothing is missing; the check of the content decides
        }

        if (!response.IsSuccessStatusCode)
        {
            return $"HTTP {(int)response.StatusCode} {response.ReasonPhrase}".TrimEnd();
        }

        if (response.StatusCode != HttpStatusCode.PartialContent || response.Content.Headers.ContentRange?.From != have)
        {
            // The server sends the whole file, or another part than the one asked for.
            have = 0;
            partial.SetLength(0);
            if (response.StatusCode == HttpStatusCode.PartialContent)
            {
                throw new IOException("The server sent another part of the file than the one asked for.");
            }
        }

        long? total = response.Content.Headers.ContentLength + have;
        return await CopyAsync(response, partial, have, total, file.Length + SlackBytes, report, stall)
            .ConfigureAwait(false);
    }

    private async Task<string?> CopyAsync(
        HttpResponseMessage response,
        FileStream partial,
        long have,
        long? total,
        long limit,
        Action<long, long?>? report,
        CancellationTokenSource stall)
    {
        using Stream body = await response.Content.ReadAsStreamAsync(stall.Token).ConfigureAwait(false);
        partial.Position = have;
        byte[] buffer = new byte[1 << 16];
        long reported = Stopwatch.GetTimestamp();
        report?.Invoke(have, total);
        int read;
        while ((read = await body.ReadAsync(buffer, stall.Token).ConfigureAwait(false)) > 0)
        {
            stall.CancelAfter(StallTimeout);
            have += read;
            if (have > limit)
            {
                partial.SetLength(0);
                return $"sent something else: more than {limit} bytes, which the file does not have";
            }

            // What arrived is kept, also when the connection breaks or the caller gives up.
            await partial.WriteAsync(buffer.AsMemory(0, read), CancellationToken.None).ConfigureAwait(false);
            if (Stopwatch.GetElapsedTime(reported).TotalMilliseconds >= 100)
            {
                reported = Stopwatch.GetTimestamp();
                report?.Invoke(have, total);
            }
        }

        report?.Invoke(have, total);
        return null;
    }

    // Null when the content is the expected one.
    private static async Task<string?> CheckAsync(
        DatasetFile file, FileStream partial, CancellationToken cancellationToken)
    {
        try
        {
            string sum = await ContentHash.ComputeAsync(partial, file.Length, cancellationToken).ConfigureAwait(false);
            return sum == file.Sha256
                ? null
                : $"sent something else: the SHA-256 of the content is {sum}, expected {file.Sha256}";
        }
        catch (InvalidDataException e)
        {
            return $"sent something else: {e.Message}";
        }
    }
}
