using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using MnistNative.Interop;

namespace MnistNative;

/// <summary>How important a log message is; the numbers are those of <c>Microsoft.Extensions.Logging.LogLevel</c>.</summary>
public enum MnistNativeLogLevel
{
    /// <summary>For whoever looks for a fault.</summary>
    Debug = 1,

    /// <summary>What happens in the ordinary course.</summary>
    Information = 2,

    /// <summary>Something is not as it should be, and work goes on.</summary>
    Warning = 3,
}

/// <summary>Messages of the library, which itself prints nothing.</summary>
/// <example>
/// <code>MnistNativeLog.SetHandler((level, text) => logger.Log((LogLevel)level, "{Message}", text));</code>
/// </example>
public static class MnistNativeLog
{
    private static readonly object s_gate = new();
    private static volatile Action<MnistNativeLogLevel, string>? s_handler;

    /// <summary>Sets the receiver of log messages for the whole process.</summary>
    /// <param name="handler">
    /// The receiver, or null for none, as at the start. It may be called from any thread, must not call the library,
    /// and its exceptions are ignored. When this method returns, the former receiver is not running any more.
    /// </param>
    public static unsafe void SetHandler(Action<MnistNativeLogLevel, string>? handler)
    {
        NativeLibraryLoader.EnsureLoaded();
        lock (s_gate)
        {
            Native.Check(NativeMethods.SetLogCallback(null, null));
            s_handler = handler;
            if (handler is not null)
            {
                Native.Check(NativeMethods.SetLogCallback(&Receive, null));
            }
        }
    }

    /// <summary>A message of the managed side.</summary>
    internal static void Write(MnistNativeLogLevel level, string message)
    {
        try
        {
            s_handler?.Invoke(level, message);
        }
        catch (Exception)
        {
            // As for native messages.
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static unsafe void Receive(int level, byte* message, void* user)
    {
        try
        {
            // The native levels are 0 to 2.
            s_handler?.Invoke((MnistNativeLogLevel)(level + 1), Utf8.FromNative(message));
        }
        catch (Exception)
        {
            // It must not unwind into native code, and a failing log must not fail the work.
        }
    }
}
