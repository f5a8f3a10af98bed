namespace MnistNative;

/// <summary>
/// A failure that the native library reports and for which .NET has no exception of its own. Wrong arguments and
/// shapes are <see cref="ArgumentException"/>, disposed objects <see cref="ObjectDisposedException"/>, objects in use
/// <see cref="InvalidOperationException"/>.
/// </summary>
public class MnistNativeException : Exception
{
    /// <summary>Makes an exception.</summary>
    /// <param name="status">How the call ended.</param>
    /// <param name="message">What went wrong.</param>
    /// <param name="innerException">What caused it, if anything.</param>
    public MnistNativeException(MnistNativeStatus status, string message, Exception? innerException = null)
        : base(message, innerException) => Status = status;

    /// <summary>How the call ended.</summary>
    public MnistNativeStatus Status { get; }
}

/// <summary>The host or the device has not the memory that a model, a trainer or a data set needs.</summary>
/// <remarks>Nothing was changed; the same process can go on, for example with a smaller batch.</remarks>
public sealed class MnistNativeOutOfMemoryException : MnistNativeException
{
    /// <summary>Makes an exception.</summary>
    /// <param name="message">What could not be allocated.</param>
    /// <param name="requestedBytes">Bytes asked for, 0 if unknown.</param>
    /// <param name="freeBytes">Bytes that were free, 0 if unknown.</param>
    public MnistNativeOutOfMemoryException(string message, long requestedBytes, long freeBytes)
        : base(MnistNativeStatus.OutOfMemory, message)
    {
        RequestedBytes = requestedBytes;
        FreeBytes = freeBytes;
    }

    /// <summary>Bytes that could not be allocated, 0 if unknown.</summary>
    public long RequestedBytes { get; }

    /// <summary>Bytes that were free when the allocation failed, 0 if unknown.</summary>
    public long FreeBytes { get; }
}

/// <summary>The device asked for cannot be used. Nothing falls back to another device in silence.</summary>
public sealed class DeviceUnavailableException : MnistNativeException
{
    /// <summary>Makes an exception.</summary>
    /// <param name="reason">Why the device cannot be used.</param>
    /// <param name="message">The same in words.</param>
    public DeviceUnavailableException(DeviceUnavailableReason reason, string message)
        : base(MnistNativeStatus.DeviceUnavailable, message) => Reason = reason;

    /// <summary>Why the device cannot be used.</summary>
    public DeviceUnavailableReason Reason { get; }
}

/// <summary>Why a device cannot be used.</summary>
public enum DeviceUnavailableReason
{
    /// <summary>The reason is not known.</summary>
    Unknown = 0,

    /// <summary>The plugin library for this kind of device is not installed.</summary>
    NoPlugin = 1,

    /// <summary>The plugin library was found but is of another version or does not load.</summary>
    PluginMismatch = 2,

    /// <summary>The device's driver is not installed.</summary>
    NoDriver = 3,

    /// <summary>The driver is older than the plugin needs.</summary>
    DriverTooOld = 4,

    /// <summary>The driver reports no device.</summary>
    NoDevice = 5,

    /// <summary>The index is not below the number of devices.</summary>
    NoSuchIndex = 6,

    /// <summary>The device is of an architecture that the plugin has no code for.</summary>
    Architecture = 7,

    /// <summary>A library that the plugin needs is missing or too old.</summary>
    LibraryMissing = 8,

    /// <summary>The instruction set asked for is not one that this processor has.</summary>
    InstructionSet = 9,
}
