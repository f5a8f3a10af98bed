namespace MnistNative.Tests.Data;

public sealed class IdxFileTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Reads_plain_and_gzip_by_content(bool gzip)
    {
        // The names say nothing: neither ends in .gz.
        string images = Write("images", gzip ? IdxBytes.Gzip(IdxBytes.Images(3)) : IdxBytes.Images(3));
        string labels = Write("labels", gzip ? IdxBytes.Gzip(IdxBytes.Labels(0, 1, 2)) : IdxBytes.Labels(0, 1, 2));

        ImageDataset data = IdxFile.ReadDataset(images, labels, 10);

        Assert.Equal(3, data.Count);
        Assert.Equal(new ImageShape(1, 2, 3), data.Shape);
        Assert.Equal(10, data.ClassCount);
        Assert.Equal([0, 1, 2], data.Labels.ToArray());
        Assert.Equal(Enumerable.Range(0, 18).Select(i => (byte)i), data.ByteImages.ToArray());
    }

    [Fact]
    public void Reads_colour_images_and_large_ones()
    {
        byte[] body = new byte[3_000_000]; // several times the first allocation
        new Random(1).NextBytes(body);
        string path = Write("images", IdxBytes.Gzip(IdxBytes.Make(0x804, [10, 3, 250, 400], body)));

        byte[] pixels = IdxFile.ReadImages(path, out int count, out ImageShape shape);

        Assert.Equal((10, new ImageShape(3, 250, 400)), (count, shape));
        Assert.Equal(body, pixels);
    }

    [Fact]
    public void Truncated_files_are_refused()
    {
        byte[] whole = IdxBytes.Images(3);
        foreach (int length in new[] { 0, 1, 3, 4, 9, 15, 16, whole.Length - 1 })
        {
            string message = ImagesError(whole[..length]);
            Assert.Contains(length < 16 ? "ends inside" : "3×2×3 = 18 bytes, but the file ends after", message);
        }

        byte[] packed = IdxBytes.Gzip(IdxBytes.Images(30));
        for (int length = 2; length < packed.Length - 8; length += 5)
        {
            ImagesError(packed[..length]);
        }
    }

    [Fact]
    public void Damaged_gzip_data_is_refused()
    {
        byte[] packed = IdxBytes.Gzip(IdxBytes.Images(30));
        packed[^8] ^= 1; // the checksum

        Assert.Contains("gzip data is damaged", ImagesError(packed));
    }

    [Fact]
    public void Wrong_magic_is_refused()
    {
        Assert.Contains("begins with 0x00000803 or 0x00000804, this one with 0x00000801", ImagesError(IdxBytes.Labels(1)));
        Assert.Contains("0x00000D03", ImagesError(IdxBytes.Make(0xD03, [1, 1, 1], new byte[4])));
        Assert.Contains("0x3C68746D", ImagesError("<html>not found</html>"u8.ToArray()));
        string path = Write("labels", IdxBytes.Images(1));
        string message = Assert.Throws<InvalidDataException>(() => IdxFile.ReadLabels(path)).Message;
        Assert.Contains("0x00000801, this one with 0x00000803", message);
    }

    [Fact]
    public void Trailing_bytes_are_refused()
    {
        Assert.Contains("more after", ImagesError([.. IdxBytes.Images(3), 0]));
        Assert.Contains("more after", ImagesError(IdxBytes.Gzip([.. IdxBytes.Images(3), 0])));
    }

    [Fact]
    public void Absurd_dimensions_are_refused_without_allocating_them()
    {
        long before = GC.GetAllocatedBytesForCurrentThread();

        Assert.Contains("ends after 5", ImagesError(IdxBytes.Make(0x803, [2_000_000, 28, 28], new byte[5])));
        Assert.Contains("do not fit", ImagesError(IdxBytes.Make(0x803, [int.MaxValue, int.MaxValue, int.MaxValue], [])));
        Assert.Contains("dimension 0 is 4294967295", ImagesError(IdxBytes.Make(0x803, [-1, 28, 28], [])));
        Assert.Contains("dimension 1 is 0", ImagesError(IdxBytes.Make(0x803, [5, 0, 28], [])));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 16 << 20);
    }

    [Fact]
    public void Images_and_labels_must_belong_together()
    {
        string images = Write("images", IdxBytes.Images(3));

        string count = Assert.Throws<InvalidDataException>(
            () => IdxFile.ReadDataset(images, Write("two", IdxBytes.Labels(0, 1)))).Message;
        Assert.Contains($"{images} holds 3 images, but {_folder.File("two")} holds 2 labels", count);

        string range = Assert.Throws<InvalidDataException>(
            () => IdxFile.ReadDataset(images, Write("high", IdxBytes.Labels(0, 9, 10)), 10)).Message;
        Assert.Contains("labels must lie in 0 to 9, label 2 is 10", range);
        Assert.StartsWith(_folder.File("high"), range);
    }

    [Fact]
    public void Labels_may_begin_at_1()
    {
        string images = Write("images", IdxBytes.Images(4));
        string labels = Write("letters", IdxBytes.Labels(1, 26, 3, 26));
        string error = Assert.Throws<InvalidDataException>(() => IdxFile.ReadDataset(images, labels, 26)).Message;
        Assert.Contains("labels must lie in 0 to 25, label 1 is 26", error);
        Assert.Contains("begin at 1: pass firstLabel: 1", error);

        ImageDataset data = IdxFile.ReadDataset(images, labels, 26, firstLabel: 1);
        Assert.Equal([0, 25, 2, 25], data.Labels.ToArray());
        Assert.Equal(26, data.ClassCount);
        Assert.Equal(26, IdxFile.ReadDataset(images, labels, firstLabel: 1).ClassCount);

        string mixed = Write("mixed", IdxBytes.Labels(0, 26, 3, 26));
        Assert.DoesNotContain("begin at 1", Assert.Throws<InvalidDataException>(() => IdxFile.ReadDataset(images, mixed, 26)).Message);
        Assert.Contains(
            "labels must lie in 1 to 26, label 0 is 0",
            Assert.Throws<InvalidDataException>(() => IdxFile.ReadDataset(images, mixed, 26, firstLabel: 1)).Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => IdxFile.ReadDataset(images, labels, 26, firstLabel: -1));
        Assert.Throws<ArgumentOutOfRangeException>(() => IdxFile.ReadDataset(images, labels, 26, firstLabel: 256));
    }

    [Fact]
    public void Missing_files_are_named()
    {
        var error = Assert.Throws<FileNotFoundException>(() => IdxFile.ReadLabels(_folder.File("absent")));
        Assert.Contains("absent", error.Message);
    }

    private string Write(string name, byte[] content)
    {
        File.WriteAllBytes(_folder.File(name), content);
        return _folder.File(name);
    }

    private string ImagesError(byte[] content)
    {
        string path = Write("wrong", content);
        string message = Assert.Throws<InvalidDataException>(() => IdxFile.ReadImages(path, out _, out _)).Message;
        Assert.StartsWith(path, message);
        return message;
    }
}
