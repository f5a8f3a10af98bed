using SixLabors.ImageSharp;
using SixLabors.ImageSharp.Formats.Bmp;
using SixLabors.ImageSharp.Formats.Gif;
using SixLabors.ImageSharp.Formats.Jpeg;
using SixLabors.ImageSharp.Formats.Png;
using SixLabors.ImageSharp.Formats.Webp;
using SixLabors.ImageSharp.Metadata;
using SixLabors.ImageSharp.PixelFormats;
using SixLabors.ImageSharp.Processing;

namespace MnistNative.Cli;

/// <summary>Reads image files as the bytes of a network's input.</summary>
internal static class ImageFile
{
    private const long MaxPixels = 100_000_000;

    // Of so many pixels without compression.
    private const long MaxBytes = 4 * MaxPixels + (1 << 20);

    // No format without a signature: a raw file could be taken for it.
    private static readonly Configuration Formats = new(
        new BmpConfigurationModule(), new GifConfigurationModule(), new JpegConfigurationModule(),
        new PngConfigurationModule(), new WebpConfigurationModule());

    // Of an animation, whose pictures together can be of any size, the first.
    static ImageFile() => Formats.ImageFormatsManager.SetDecoder(
        GifFormat.Instance, new GifDecoder { DecodingMode = FrameDecodingMode.First });

    /// <summary>
    /// The pixels of a picture, scaled to the input's size, as C×H×W bytes; or the bytes themselves of a raw file of
    /// exactly that length, even if it begins as a picture does.
    /// </summary>
    /// <exception cref="InvalidDataException">The file is neither; the message names it.</exception>
    public static byte[] Read(FileInfo file, ImageShape shape, bool invert)
    {
        if (Directory.Exists(file.FullName))
        {
            throw new InvalidDataException($"\"{file}\" is a folder.");
        }

        if (!file.Exists)
        {
            throw new FileNotFoundException($"\"{file}\" does not exist.");
        }

        byte[] content = ReadAll(file, Math.Max(MaxBytes, shape.Length));
        (byte[]? pixels, string refusal) = FromPicture(content, shape, invert);
        pixels ??= content.Length == shape.Length ? content : throw new InvalidDataException($"\"{file}\" is {refusal}");
        if (invert)
        {
            for (int i = 0; i < pixels.Length; i++)
            {
                pixels[i] = (byte)(255 - pixels[i]);
            }
        }

        return pixels;
    }

    // Also of a pipe, or of a device without an end.
    private static byte[] ReadAll(FileInfo file, long most)
    {
        using FileStream stream = file.OpenRead();
        using var content = new MemoryStream();
        byte[] buffer = new byte[1 << 16];
        int read;
        while ((read = stream.Read(buffer)) > 0)
        {
            content.Write(buffer.AsSpan(0, read));
            if (content.Length > most)
            {
                throw new InvalidDataException($"\"{file}\" is larger than {most} bytes.");
            }
        }

        return content.ToArray();
    }

    // The pixels, or what the file is instead of a picture that can be read.
    private static (byte[]? Pixels, string Refusal) FromPicture(byte[] content, ImageShape shape, bool invert)
    {
        if (Image.DetectFormat(Formats, content) is not { } format)
        {
            return (null, "neither a PNG, JPEG, BMP, GIF or WebP picture "
                + $"nor a raw file of {shape.Length} bytes (it has {content.Length}).");
        }

        if (shape.Channels is not (1 or 3))
        {
            return (null, $"a {format.Name} picture, which has 1 or 3 channels, and the network takes images of {shape}; use raw files.");
        }

        try
        {
            // A small file can unpack to more than the memory holds; its header says so.
            IImageInfo? info = Image.Identify(Formats, content, out _);
            if (info is not null && (long)info.Width * info.Height > MaxPixels)
            {
                return (null, $"a {format.Name} picture of {info.Width}×{info.Height} pixels; "
                    + $"at most {MaxPixels / 1_000_000} megapixels are read.");
            }

            if (info is not null && PictureEnd.IsMissing(content, format.Name, info))
            {
                return (null, $"a truncated {format.Name} picture: the file ends before the picture does.");
            }

            using Image<Rgba32> picture = Image.Load<Rgba32>(Formats, content);
            return (ToPixels(picture, shape, invert ? Color.White : Color.Black), "");
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // Decoders meet damaged data with exceptions of many types, some of them of their own mistakes.
            return (null, $"a damaged or unsupported {format.Name} picture: {e.Message}");
        }
    }

    private static byte[] ToPixels(Image<Rgba32> picture, ImageShape shape, Color ground)
    {
        // As a camera was held; transparent pixels show the ground. The triangle averages over the pixels that shrink into one.
        picture.Mutate(image => image
            .AutoOrient()
            .BackgroundColor(ground)
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
