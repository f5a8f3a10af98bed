using System.Runtime.InteropServices;
using System.Text;

namespace MnistNative.Interop;

/// <summary>Text on its way to and from the native library: UTF-8 with a closing zero.</summary>
internal static unsafe class Utf8
{
    /// <summary>The text with a closing zero, or null.</summary>
    public static byte[]? ToNative(string? text)
    {
        if (text is null)
        {
            return null;
        }

        byte[] bytes = new byte[Encoding.UTF8.GetByteCount(text) + 1];
        Encoding.UTF8.GetBytes(text, bytes);
        return bytes;
    }

    /// <summary>The text up to its closing zero; "" for null.</summary>
    public static string FromNative(byte* text) =>
        text is null ? "" : Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(text));
}
