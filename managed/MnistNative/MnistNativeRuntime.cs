using MnistNative.Interop;

namespace MnistNative;

/// <summary>The native library as a whole.</summary>
public static class MnistNativeRuntime
{
    /// <summary>Version of the native library, for example <c>0.1.0</c>.</summary>
    public static unsafe string NativeVersion
    {
        get
        {
            NativeLibraryLoader.EnsureLoaded();
            return Utf8.FromNative(NativeMethods.Version());
        }
    }

    /// <summary>
    /// Bytes that the native library holds for devices, data sets, models and trainers of the whole process; 0 after
    /// everything was disposed. Images that a data set keeps in managed memory do not count.
    /// </summary>
    public static unsafe long NativeMemoryInUse
    {
        get
        {
            NativeLibraryLoader.EnsureLoaded();
            long bytes;
            Native.Check(NativeMethods.MemoryInUse(&bytes));
            return bytes;
        }
    }

    /// <summary>Where the native library was looked for and found, one attempt a line.</summary>
    public static string LoadTrace
    {
        get
        {
            NativeLibraryLoader.EnsureLoaded();
            return NativeLibraryLoader.Trace;
        }
    }
}
