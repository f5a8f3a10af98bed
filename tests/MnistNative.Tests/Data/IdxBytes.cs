using System.Buffers.Binary;
using System.IO.Compression;
using System.Security.Cryptography;

namespace MnistNative.Tests.Data;

/// <summary>Makes small IDX files.</summary>
internal static class IdxBytes
{
    public static byte[] Make(uint magic, int[] dimensions, byte[] body)
    {
        byte[] bytes = new byte[4 + 4 * dimensions.Length + body.Length];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, magic);
        for (int i = 0; i < dimensions.Length; i++)
        {
            BinaryPrimitives.WriteInt32BigEndian(bytes.AsSpan(4 + 4 * i), dimensions[i]);
        }

        body.CopyTo(bytes, 4 + 4 * dimensions.Length);
        return bytes;
    }

    /// <summary>Images of 2×3 pixels whose bytes count up.</summary>
    public static byte[] Images(int count, int first = 0) =>
        Make(0x803, [count, 2, 3], [.. Enumerable.Range(0, count * 6).Select(i => (byte)(first + i))]);

    public static byte[] Labels(params byte[] labels) => Make(0x801, [labels.Length], labels);

    public static byte[] Gzip(byte[] content)
    {
        var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.Fastest))
        {
            gzip.Write(content);
        }

        return packed.ToArray();
    }

    /// <summary>The four files of a tiny data set: three training images and two test images.</summary>
    public static Dictionary<string, byte[]> Dataset() => new()
    {
        ["train-images-idx3-ubyte"] = Images(3),
        ["train-labels-idx1-ubyte"] = Labels(1, 2, 3),
        ["t10k-images-idx3-ubyte"] = Images(2, first: 100),
        ["t10k-labels-idx1-ubyte"] = Labels(4, 5),
    };

    public static void Write(string folder, Dictionary<string, byte[]> files, bool gzip = false)
    {
        Directory.CreateDirectory(folder);
        foreach ((string name, byte[] content) in files)
        {
            File.WriteAllBytes(Path.Combine(folder, gzip ? name + ".gz" : name), gzip ? Gzip(content) : content);
        }
    }

    /// <summary>Drawn digits as MNIST's four files.</summary>
    public static void WriteDigits(string folder, int train, int test)
    {
        ImageDataset digits = SyntheticDigits.Generate(train + test, seed: 1);
        var files = new Dictionary<string, byte[]>();
        Add("train", digits.Take(train));
        Add("t10k", digits.Slice(train, test));
        Write(folder, files);

        void Add(string name, ImageDataset part)
        {
            files[$"{name}-images-idx3-ubyte"] = Make(0x803, [part.Count, 28, 28], part.ByteImages.ToArray());
            files[$"{name}-labels-idx1-ubyte"] = Labels([.. part.Labels.ToArray().Select(label => (byte)label)]);
        }
    }

    /// <summary>A source that expects exactly these files.</summary>
    public static DatasetSource Source(Dictionary<string, byte[]> files, params Uri[] mirrors) => new()
    {
        Name = "Tiny",
        FolderName = "tiny",
        Files = [.. files.Select(f => new DatasetFile(f.Key, f.Value.Length, Sha256(f.Value)))],
        Mirrors = mirrors,
        SystemFolders = [],
    };

    public static string Sha256(byte[] content) => Convert.ToHexString(SHA256.HashData(content)).ToLowerInvariant();
}
