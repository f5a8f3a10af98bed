using System.Runtime.InteropServices;

namespace MnistNative.Cli;

/// <summary>Ctrl-C and SIGTERM: the first cancels the command, the next ends the process at once.</summary>
internal sealed class Interruption : IDisposable
{
    private readonly CancellationTokenSource _source = new();
    private readonly PosixSignalRegistration[] _registrations;
    private PosixSignal? _first;

    public Interruption() => _registrations =
    [
        PosixSignalRegistration.Create(PosixSignal.SIGINT, Handle),
        PosixSignalRegistration.Create(PosixSignal.SIGTERM, Handle),
    ];

    /// <summary>Cancelled by the first signal.</summary>
    public CancellationToken Token => _source.Token;

    /// <summary>The exit code of a process whose command returned this code.</summary>
    public int ExitCode(int code) =>
        code == CommandLine.Interrupted && _first == PosixSignal.SIGTERM ? CommandLine.Terminated : code;

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations)
        {
            registration.Dispose();
        }

        _source.Dispose();
    }

    private void Handle(PosixSignalContext signal)
    {
        lock (_source)
        {
            signal.Cancel = _first is null;
            _first ??= signal.Signal;
        }

        if (signal.Cancel)
        {
            _source.Cancel();
        }
    }
}
