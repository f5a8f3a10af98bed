using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace MnistNative.Tests.Data;

/// <summary>
/// A web server of one thread on the loopback address that can misbehave as real ones do: break off, ignore ranges,
/// stay silent.
/// </summary>
internal sealed class TinyServer : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly Func<Request, Reply> _answer;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _loop;

    public TinyServer(Func<Request, Reply> answer)
    {
        _answer = answer;
        _listener.Start();
        Address = new Uri($"http://127.0.0.1:{((IPEndPoint)_listener.LocalEndpoint).Port}/");
        _loop = Task.Run(RunAsync);
    }

    public Uri Address { get; }

    public ConcurrentQueue<Request> Requests { get; } = new();

    /// <summary>A server that has these files and understands ranges.</summary>
    public static TinyServer Of(Dictionary<string, byte[]> files) => new(request => Serve(files, request));

    public static Reply Serve(Dictionary<string, byte[]> files, Request request)
    {
        if (!files.TryGetValue(request.Name, out byte[]? content))
        {
            return new Reply(404, []);
        }

        if (request.From is not { } from)
        {
            return new Reply(200, content);
        }

        return from < content.Length
            ? new Reply(206, content[from..]) { Range = $"bytes {from}-{content.Length - 1}/{content.Length}" }
            : new Reply(416, []);
    }

    public void Dispose()
    {
        _stop.Cancel();
        _listener.Stop();
        _loop.Wait();
        _stop.Dispose();
    }

    private async Task RunAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                using TcpClient client = await _listener.AcceptTcpClientAsync(_stop.Token);
                await AnswerAsync(client);
            }
            catch (Exception e) when (e is IOException or SocketException or OperationCanceledException or ObjectDisposedException)
            {
                // The client went away, or the test is over.
            }
        }
    }

    private async Task AnswerAsync(TcpClient client)
    {
        using NetworkStream stream = client.GetStream();
        using var reader = new StreamReader(stream, Encoding.ASCII, leaveOpen: true);
        string first = await reader.ReadLineAsync(_stop.Token) ?? "";
        int? from = null;
        while (await reader.ReadLineAsync(_stop.Token) is { Length: > 0 } line)
        {
            if (line.StartsWith("Range: bytes=", StringComparison.OrdinalIgnoreCase))
            {
                from = int.Parse(line["Range: bytes=".Length..].TrimEnd('-'), CultureInfo.InvariantCulture);
            }
        }

        var request = new Request(first.Split(' ')[1].TrimStart('/'), from);
        Requests.Enqueue(request);
        Reply reply = _answer(request);
        string head = $"HTTP/1.1 {reply.Status} Status\r\nContent-Length: {reply.Body.Length}\r\nConnection: close\r\n" +
            (reply.Range is null ? "" : $"Content-Range: {reply.Range}\r\n") + "\r\n";
        await stream.WriteAsync(Encoding.ASCII.GetBytes(head), _stop.Token);
        await stream.WriteAsync(reply.Body.AsMemory(0, reply.SendOnly ?? reply.Body.Length), _stop.Token);
        await stream.FlushAsync(_stop.Token);
        if (reply.ThenHang)
        {
            await Task.Delay(Timeout.Infinite, _stop.Token);
        }
    }

    public sealed record Request(string Name, int? From);

    public sealed record Reply(int Status, byte[] Body)
    {
        public string? Range { get; init; }

        /// <summary>Break the connection after so many bytes of the body.</summary>
        public int? SendOnly { get; init; }

        /// <summary>Keep the connection open and silent after the body.</summary>
        public bool ThenHang { get; init; }
    }
}
