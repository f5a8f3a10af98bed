namespace MnistNative;

/// <summary>How a call into the native library ended.</summary>
public enum MnistNativeStatus
{
    /// <summary>The native library found is of another version than this assembly.</summary>
    VersionMismatch = -1,

    /// <summary>The call did what it says.</summary>
    Ok = 0,

    /// <summary>An argument is out of range or contradicts another.</summary>
    InvalidArgument = 1,

    /// <summary>The object is gone, or is of another kind.</summary>
    InvalidHandle = 2,

    /// <summary>A shape or a buffer's size does not fit what it is used for.</summary>
    ShapeMismatch = 3,

    /// <summary>There is no memory on the host or the device.</summary>
    OutOfMemory = 4,

    /// <summary>The combination is valid but this library or device does not support it.</summary>
    Unsupported = 5,

    /// <summary>The device cannot be used.</summary>
    DeviceUnavailable = 6,

    /// <summary>There is no node or parameter of that name.</summary>
    NotFound = 7,

    /// <summary>The object is in use.</summary>
    Busy = 8,

    /// <summary>A fault of the library; please report it.</summary>
    Internal = 9,
}
