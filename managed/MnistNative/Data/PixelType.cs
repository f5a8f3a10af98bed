namespace MnistNative;

/// <summary>How the pixels of a data set are stored.</summary>
public enum PixelType
{
    /// <summary>One byte a pixel, 0 to 255; a network sees the value divided by 255.</summary>
    UInt8,

    /// <summary>One 32-bit float a pixel; a network sees the value as it is.</summary>
    Float32,
}
