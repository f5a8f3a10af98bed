using SixLabors.ImageSharp;
using SixLabors.ImageSharp.Formats.Bmp;
using SixLabors.ImageSharp.Formats.Gif;
using SixLabors.ImageSharp.Formats.Jpeg;
using SixLabors.ImageSharp.Formats.Png;
using SixLabors.ImageSharp.Formats.Webp;
using SixLabors.ImageSharp.PixelFormats;
using SixLabors.ImageSharp.Processing;

namespace MnistNative.Cli;

/// <summary>Reads image files as the bytes of a network's input.</summary>
internal static class ImageFile
{
    // No format without a signature: a raw file could be taken for it.
    private static readonly Configuration Formats = new(
        new BmpConfigurationModule(), new GifConfigurationModule(), new JpegConfigurationModule(),
        new PngConfigurationModule(), new WebpConfigurationModule());

    /// <summary>
    /// The pixels of a picture, scaled to the input's size, as C×H×W bytes; or the bytes themselves of a raw file of
    /// exactly that length.
    /// </summary>
    public static byte[] Read(FileInfo file, ImageShape shape, bool invert)
    {
        byte[] content = File.ReadAllBytes(file.FullName);
        using Image<Rgba32>? picture = Decode(content);
        byte[] pixels = picture is not null ? ToPixels(picture, shape)
            : content.Length == shape.Length ? content
            : throw new InvalidDataException(
                $"\"{file}\" is neither a PNG, JPEG, BMP, GIF or WebP picture nor a raw file of {shape.Length} bytes (it has {content.Length}).");
        if (invert)
        {
            for (int i = 0; i < pixels.Length; i++)
            {
                pixels[i] = (byte)(255 - pixels[i]);
            }
        }

        return pixels;
    }

    private static Image<Rgba32>? Decode(byte[] content)
    {
        try
        {
            return Image.Load<Rgba32>(Formats, content);
        }
        catch (ImageFormatException)
        {
            return null;
        }
    }

    private static byte[] ToPixels(Image<Rgba32> picture, ImageShape shape)
    {
        if (shape.Channels is not (1 or 3))
        {
            throw new InvalidDataException($"A picture has 1 or 3 channels, and the network takes images of {shape}; use raw files.");
        }

        // As a camera was held; what is transparent is black. The triangle averages over the pixels that shrink into one.
        picture.Mutate(image => image
            .AutoOrient()
            .BackgroundColor(Color.Black)
            .Resize(shape.Width, shape.Height, KnownResamplers.Triangle));
        byte[] pixels = new byte[shape.Length];
        int plane = shape.Height * shape.Width;
        for (int y = 0; y < shape.Height; y++)
        {
            for (int x = 0; x < shape.Width; x++)
            {
                Rgba32 color = picture[x, y];
                int to = (y * shape.Width) + x;
                if (shape.Channels == 1)
                {
                    pixels[to] = Luma(color.R, color.G, color.B);
                }
                else
                {
                    (pixels[to], pixels[plane + to], pixels[(2 * plane) + to]) = (color.R, color.G, color.B);
                }
            }
        }

        return pixels;
    }

    // ITU-R BT.601, as most libraries make grey of colour.
    private static byte Luma(byte red, byte green, byte blue) => (byte)(((299 * red) + (587 * green) + (114 * blue) + 500) / 1000);
}
