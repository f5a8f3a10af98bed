using SkiaSharp;

namespace MnistNative.Cli;

/// <summary>Reads image files as the bytes of a network's input.</summary>
internal static class ImageFile
{
    /// <summary>
    /// The pixels of a picture, scaled to the input's size, as C×H×W bytes; or the bytes themselves of a raw file of
    /// exactly that length.
    /// </summary>
    public static byte[] Read(FileInfo file, ImageShape shape, bool invert)
    {
        byte[] content = File.ReadAllBytes(file.FullName);
        using SKBitmap? picture = Decode(content);
        byte[] pixels = picture is not null ? ToPixels(picture, shape)
            : content.Length == shape.Length ? content
            : throw new InvalidDataException(
                $"\"{file}\" is neither a PNG or JPEG picture nor a raw file of {shape.Length} bytes (it has {content.Length}).");
        if (invert)
        {
            for (int i = 0; i < pixels.Length; i++)
            {
                pixels[i] = (byte)(255 - pixels[i]);
            }
        }

        return pixels;
    }

    private static SKBitmap? Decode(byte[] content)
    {
        using SKData data = SKData.CreateCopy(content);
        using SKCodec? codec = SKCodec.Create(data);
        return codec is null
            ? null
            : SKBitmap.Decode(codec, new SKImageInfo(codec.Info.Width, codec.Info.Height, SKColorType.Rgba8888, SKAlphaType.Premul));
    }

    private static byte[] ToPixels(SKBitmap picture, ImageShape shape)
    {
        if (shape.Channels is not (1 or 3))
        {
            throw new InvalidDataException($"A picture has 1 or 3 channels, and the network takes images of {shape}; use raw files.");
        }

        // Mipmaps average over the pixels that shrink into one.
        using SKBitmap scaled = picture.Resize(
            new SKSizeI(shape.Width, shape.Height), new SKSamplingOptions(SKFilterMode.Linear, SKMipmapMode.Linear));
        byte[] pixels = new byte[shape.Length];
        int plane = shape.Height * shape.Width;
        ReadOnlySpan<byte> from = scaled.GetPixelSpan();
        for (int y = 0; y < shape.Height; y++)
        {
            for (int x = 0; x < shape.Width; x++)
            {
                // Alpha is multiplied in: what is transparent is black.
                ReadOnlySpan<byte> color = from.Slice((y * scaled.RowBytes) + (x * scaled.BytesPerPixel), 3);
                int to = (y * shape.Width) + x;
                if (shape.Channels == 1)
                {
                    pixels[to] = Luma(color[0], color[1], color[2]);
                }
                else
                {
                    (pixels[to], pixels[plane + to], pixels[(2 * plane) + to]) = (color[0], color[1], color[2]);
                }
            }
        }

        return pixels;
    }

    // ITU-R BT.601, as most libraries make grey of colour.
    private static byte Luma(byte red, byte green, byte blue) => (byte)(((299 * red) + (587 * green) + (114 * blue) + 500) / 1000);
}
