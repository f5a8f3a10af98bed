using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace MnistNative.Interop;

/// <summary>The one place where a native status becomes a .NET exception.</summary>
internal static unsafe class Native
{
    /// <summary>Throws the exception that fits, unless the call succeeded.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Check(MnStatus status)
    {
        if (status != 0)
        {
            Throw(status);
        }
    }

    /// <summary>The exception for a failed call. Must be asked for on the thread that made the call.</summary>
    public static Exception ExceptionFor(MnStatus status)
    {
        string message = Utf8.FromNative(NativeMethods.LastError());
        if (message.Length == 0)
        {
            message = $"The native library reports {status}.";
        }

        var info = new MnErrorInfo { StructSize = (uint)sizeof(MnErrorInfo) };
        if (NativeMethods.LastErrorInfo(&info) != 0)
        {
            info = default;
        }

        return status switch
        {
            MnStatus.InvalidArgument or MnStatus.ShapeMismatch => new ArgumentException(message),
            MnStatus.InvalidHandle => new ObjectDisposedException(null, message),
            MnStatus.Busy => new InvalidOperationException(message),
            MnStatus.OutOfMemory =>
                new MnistNativeOutOfMemoryException(message, Clamp(info.RequestedBytes), Clamp(info.FreeBytes)),
            MnStatus.DeviceUnavailable =>
                new DeviceUnavailableException((DeviceUnavailableReason)info.Reason, message),
            _ => new MnistNativeException((MnistNativeStatus)status, message),
        };
    }

    /// <summary>
    /// Whether a call that failed may succeed now: if memory was missing, what the collector finds unused is given back.
    /// </summary>
    public static bool MayTryAgain(MnStatus status)
    {
        if (status != MnStatus.OutOfMemory)
        {
            return false;
        }

        GC.Collect();
        GC.WaitForPendingFinalizers();
        return true;
    }

    [DoesNotReturn]
    private static void Throw(MnStatus status) => throw ExceptionFor(status);

    private static long Clamp(ulong bytes) => (long)Math.Min(bytes, long.MaxValue);
}
