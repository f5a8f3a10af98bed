using System.Buffers.Binary;
using SixLabors.ImageSharp;

namespace MnistNative.Cli;

/// <summary>
/// Finds pictures that end early: decoders fill the rest with grey, or with whatever the memory holds. Only the
/// structure of the file is read.
/// </summary>
internal static class PictureEnd
{
    /// <summary>Whether the file lacks a part of its (first) picture.</summary>
    /// <param name="content">The file, which has the format's signature.</param>
    /// <param name="format">The format's name.</param>
    /// <param name="info">What its header says.</param>
    public static bool IsMissing(ReadOnlySpan<byte> content, string format, IImageInfo info) => !(format switch
    {
        "PNG" => PngEnds(content),
        "JPEG" => JpegEnds(content),
        "GIF" => GifEnds(content),
        "BMP" => BmpEnds(content, info),

        // RIFF, which says how long it is.
        _ => content.Length >= 12 && content.Length >= 8L + BinaryPrimitives.ReadUInt32LittleEndian(content[4..]),
    });

    // Chunks (length, name, content, checksum) up to the one named IEND, of which only the beginning is needed.
    private static bool PngEnds(ReadOnlySpan<byte> content)
    {
        for (long at = 8; at + 8 <= content.Length;)
        {
            ReadOnlySpan<byte> chunk = content[(int)at..];
            if (chunk[4..8].SequenceEqual("IEND"u8))
            {
                return true;
            }

            at += 12L + BinaryPrimitives.ReadUInt32BigEndian(chunk);
        }

        return false;
    }

    // Segments (marker, length, content), some with data behind them, up to the end of the image.
    private static bool JpegEnds(ReadOnlySpan<byte> content)
    {
        const byte EndOfImage = 0xD9;
        int at = 2;
        while (at + 2 <= content.Length)
        {
            byte marker = content[at + 1];
            if (content[at] != 0xFF || marker == 0xFF)
            {
                at++;
                continue;
            }

            if (marker == EndOfImage)
            {
                return true;
            }

            // In data: a stuffed zero, and restarts.
            if (marker is 0x00 or 0x01 or (>= 0xD0 and <= 0xD8))
            {
                at += 2;
                continue;
            }

            if (at + 4 > content.Length)
            {
                return false;
            }

            // The data behind a start of scan has no length and is searched for the next marker.
            at += 2 + BinaryPrimitives.ReadUInt16BigEndian(content[(at + 2)..]);
        }

        return false;
    }

    // Extensions and images are sequences of blocks, each with its length in front, up to an empty one.
    private static bool GifEnds(ReadOnlySpan<byte> content)
    {
        if (content.Length < 13)
        {
            return false;
        }

        int at = 13 + ColorTable(content[10]);
        while (at + 10 < content.Length)
        {
            const byte Image = 0x2C;
            const byte Extension = 0x21;
            byte kind = content[at];
            if (kind is not (Image or Extension))
            {
                at++;
                continue;
            }

            at += kind == Image ? 11 + ColorTable(content[at + 9]) : 2;
            while (at < content.Length && content[at] != 0)
            {
                at += 1 + content[at];
            }

            if (kind == Image)
            {
                return at < content.Length;
            }

            at++;
        }

        return false;

        static int ColorTable(byte flags) => (flags & 0x80) == 0 ? 0 : 3 << ((flags & 7) + 1);
    }

    // Rows of a multiple of four bytes; the header of a compressed file says the file's length.
    private static bool BmpEnds(ReadOnlySpan<byte> content, IImageInfo info)
    {
        if (content.Length < 34)
        {
            return false;
        }

        bool compressed = BinaryPrimitives.ReadUInt32LittleEndian(content[14..]) >= 40
            && BinaryPrimitives.ReadUInt32LittleEndian(content[30..]) is 1 or 2;
        long row = ((((long)info.Width * info.PixelType.BitsPerPixel) + 31) / 32) * 4;
        return content.Length >= (compressed
            ? BinaryPrimitives.ReadUInt32LittleEndian(content[2..])
            : BinaryPrimitives.ReadUInt32LittleEndian(content[10..]) + (row * Math.Abs((long)info.Height)));
    }
}
