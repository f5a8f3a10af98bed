namespace MnistNative.Tests.Data;

public class ImageDatasetTests
{
    private static readonly ImageShape Shape = new(2, 1, 2);

    private static ImageDataset Bytes(int count = 4) => ImageDataset.FromMemory(
        Enumerable.Range(0, count * 4).Select(i => (byte)(i * 10)).ToArray(),
        Enumerable.Range(0, count).Select(i => (byte)i).ToArray(),
        Shape);

    [Fact]
    public void Shape_knows_its_length_and_name()
    {
        Assert.Equal(784, new ImageShape(1, 28, 28).Length);
        Assert.Equal("1×28×28", new ImageShape(1, 28, 28).ToString());
    }

    [Fact]
    public void Reads_bytes_as_values_divided_by_255()
    {
        float[] pixels = new float[8];
        int[] labels = new int[2];

        Bytes().Read([3, 0], pixels, labels);

        Assert.Equal([120 / 255f, 130 / 255f, 140 / 255f, 150 / 255f, 0, 10 / 255f, 20 / 255f, 30 / 255f], pixels);
        Assert.Equal([3, 0], labels);
        Assert.Equal(pixels[..4], Bytes().GetImage(3));
    }

    [Fact]
    public void Reads_floats_as_they_are()
    {
        var data = ImageDataset.FromMemory(new float[] { -1, 2, 3, 4, 5, 6, 7, 300 }, new int[] { 1, 0 }, Shape);
        float[] pixels = new float[4];
        int[] labels = new int[1];

        data.Read([1], pixels, labels);

        Assert.Equal([5, 6, 7, 300], pixels);
        Assert.Equal([0], labels);
        Assert.Equal(PixelType.Float32, data.PixelType);
        Assert.Equal(8, data.FloatImages.Length);
        Assert.True(data.ByteImages.IsEmpty);
    }

    [Fact]
    public void Reading_checks_indices_and_spans()
    {
        ImageDataset data = Bytes();
        float[] pixels = new float[8];
        int[] labels = new int[2];

        Assert.Contains("Index number 1", Assert.Throws<ArgumentOutOfRangeException>(() => data.Read([0, 4], pixels, labels)).Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => data.Read([-1], pixels, labels));
        Assert.Equal("pixels", Assert.Throws<ArgumentException>(() => data.Read([0, 1], pixels.AsSpan(1), labels)).ParamName);
        Assert.Equal("labels", Assert.Throws<ArgumentException>(() => data.Read([0, 1], pixels, labels.AsSpan(1))).ParamName);
    }

    [Fact]
    public void Making_checks_sizes()
    {
        static string Message(Action make) => Assert.ThrowsAny<ArgumentException>(make).Message;

        Assert.Contains("2 images of shape 2×1×2 and 1 labels", Message(() => ImageDataset.FromMemory(new byte[8], new byte[1], Shape)));
        Assert.Contains("9 values are no whole number", Message(() => ImageDataset.FromMemory(new byte[9], new byte[2], Shape)));
        Assert.Contains("empty", Message(() => ImageDataset.FromMemory(Array.Empty<byte>(), Array.Empty<byte>(), Shape)));
        Assert.Contains("positive", Message(() => ImageDataset.FromMemory(new byte[8], new byte[2], new ImageShape(1, 0, 4))));
        Assert.Contains(
            "at most", Message(() => ImageDataset.FromMemory(new byte[8], new byte[2], new ImageShape(1 << 20, 1 << 20, 1 << 20))));
        Assert.Contains("at least 1", Message(() => ImageDataset.FromMemory(new byte[8], new byte[2], Shape, 0)));
    }

    [Fact]
    public void Class_count_is_inferred_and_kept_by_parts()
    {
        ImageDataset data = Bytes();

        Assert.Equal(4, data.ClassCount);
        Assert.Equal(4, data.Take(1).ClassCount);
        Assert.Equal(12, ImageDataset.FromMemory(new byte[4], new byte[1], Shape, 12).ClassCount);
    }

    [Fact]
    public void Labels_are_copied()
    {
        int[] labels = [0, 1];
        var data = ImageDataset.FromMemory(new float[8], labels, Shape);
        labels[0] = 99;

        Assert.Equal(0, data.Labels.Span[0]);
    }

    [Fact]
    public void Slices_show_the_right_part_without_copying()
    {
        ImageDataset part = Bytes().Slice(1, 2);

        Assert.Equal(2, part.Count);
        Assert.Equal([1, 2], part.Labels.ToArray());
        Assert.Equal(Bytes().GetImage(2), part.GetImage(1));
        Assert.Equal([3], Bytes().Slice(3, 1).Labels.ToArray());
        Assert.Throws<ArgumentOutOfRangeException>(() => Bytes().Slice(3, 2));
        Assert.Throws<ArgumentOutOfRangeException>(() => Bytes().Slice(4, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => Bytes().Take(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => Bytes().Take(5));
    }

    [Fact]
    public void Subset_copies_in_the_given_order()
    {
        ImageDataset part = Bytes().Subset([2, 0, 2]);

        Assert.Equal([2, 0, 2], part.Labels.ToArray());
        Assert.Equal(Bytes().GetImage(2), part.GetImage(2));
        Assert.Throws<ArgumentOutOfRangeException>(() => Bytes().Subset([4]));
        Assert.Throws<ArgumentException>(() => Bytes().Subset([]));
    }

    [Theory]
    [InlineData(null)]
    [InlineData(9ul)]
    public void Split_parts_are_disjoint_and_complete(ulong? seed)
    {
        (ImageDataset train, ImageDataset validation) = Bytes(20).Split(0.25, seed);

        Assert.Equal(15, train.Count);
        Assert.Equal(5, validation.Count);
        Assert.Equal(Enumerable.Range(0, 20), train.Labels.ToArray().Concat(validation.Labels.ToArray()).Order());
        Assert.Equal(seed is null, validation.Labels.ToArray() is [15, 16, 17, 18, 19]);
        Assert.Throws<ArgumentOutOfRangeException>(() => Bytes().Split(double.NaN));
        Assert.Throws<ArgumentOutOfRangeException>(() => Bytes().Split(1));
        Assert.Throws<InvalidOperationException>(() => Bytes(1).Split(0.5));
    }

    [Fact]
    public void Mean_and_deviation_are_per_channel_over_the_population()
    {
        byte[] bytes = [0, 255, 51, 51, 0, 255, 51, 102];
        (float[] mean, float[] std) = ImageDataset.FromMemory(bytes, new byte[2], Shape).ComputeMeanStd();
        Assert.Equal([0.5f, 0.25f], mean);
        Assert.Equal(0.5f, std[0]);
        Assert.Equal(Math.Sqrt(3) / 20, std[1], 1e-7); // 0.2, 0.2, 0.2, 0.4 about 0.25

        float[] floats = [.. bytes.Select(b => b / 255f)];
        (float[] floatMean, float[] floatStd) = ImageDataset.FromMemory(floats, new byte[2], Shape).ComputeMeanStd();
        Assert.Equal(0.25f, floatMean[1], 1e-6f);
        Assert.Equal(std[1], floatStd[1], 1e-6f);
    }
}
