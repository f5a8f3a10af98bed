using System.Security.Cryptography;

namespace MnistNative.Tests.Data;

public class SyntheticDigitsTests
{
    // Fixed: the same bytes on every machine and in every version, or trained models stop being reproducible.
    [Fact]
    public void Bytes_are_the_same_everywhere()
    {
        ImageDataset data = SyntheticDigits.Generate(1000, seed: 1);

        Assert.Equal(
            "77f63b91dce0eec0176ac4f60bdc74be27c3dc9f8ffcb3a5a5347385612bb1d2",
            Convert.ToHexString(SHA256.HashData(data.ByteImages.Span)).ToLowerInvariant());
    }

    [Fact]
    public void Image_depends_on_seed_and_index_alone()
    {
        ImageDataset many = SyntheticDigits.Generate(700, seed: 3);
        ImageDataset few = SyntheticDigits.Generate(300, seed: 3);

        Assert.Equal(many.Take(300).ByteImages.ToArray(), few.ByteImages.ToArray());
        Assert.Equal(many.Take(300).Labels.ToArray(), few.Labels.ToArray());
        Assert.NotEqual(few.ByteImages.ToArray(), SyntheticDigits.Generate(300, seed: 4).ByteImages.ToArray());

        byte[] alone = new byte[784];
        new DigitPainter().Paint(many.Labels.Span[650], 3, 650, alone);
        Assert.Equal(many.Slice(650, 1).ByteImages.ToArray(), alone);
    }

    [Fact]
    public void Every_ten_images_show_every_digit()
    {
        ImageDataset data = SyntheticDigits.Generate(200);

        Assert.Equal(10, data.ClassCount);
        Assert.All(data.Labels.ToArray().Chunk(10), ten => Assert.Equal(Enumerable.Range(0, 10), ten.Order()));
        Assert.NotEqual(data.Labels.ToArray()[..10], data.Labels.ToArray()[10..20]);
    }

    [Fact]
    public void Images_look_like_those_of_mnist()
    {
        ImageDataset data = SyntheticDigits.Generate(2000);

        (float[] mean, float[] std) = data.ComputeMeanStd();
        Assert.InRange(mean[0], 0.115f, 0.15f);
        Assert.InRange(std[0], 0.28f, 0.33f);

        var distinct = new HashSet<string>();
        for (int i = 0; i < data.Count; i++)
        {
            float[] image = data.GetImage(i);
            distinct.Add(Convert.ToHexString(SHA256.HashData(data.ByteImages.Span.Slice(i * 784, 784))));
            double mass = image.Sum();
            double x = image.Select((value, k) => value * (k % 28)).Sum() / mass;
            double y = image.Select((value, k) => value * (k / 28)).Sum() / mass;
            Assert.InRange(mass, 10, 450);
            Assert.InRange(x, 11, 16); // the centre of mass is near the middle, 13.5
            Assert.InRange(y, 11, 16);
            Assert.True(image.Max() > 0.7f, $"image {i} has no full ink");
        }

        Assert.Equal(data.Count, distinct.Count);
    }

    // The nearest of the ten mean images already recognises most digits: labels and pictures belong together.
    [Fact]
    public void Digits_can_be_told_apart()
    {
        ImageDataset train = SyntheticDigits.Generate(3000, seed: 1);
        ImageDataset test = SyntheticDigits.Generate(500, seed: 2);
        float[][] means = [.. Enumerable.Range(0, 10).Select(_ => new float[784])];
        for (int i = 0; i < train.Count; i++)
        {
            float[] image = train.GetImage(i);
            float[] mean = means[train.Labels.Span[i]];
            for (int k = 0; k < 784; k++)
            {
                mean[k] += image[k] / 300;
            }
        }

        int right = 0;
        for (int i = 0; i < test.Count; i++)
        {
            float[] image = test.GetImage(i);
            int nearest = Enumerable.Range(0, 10).MinBy(d => means[d].Zip(image, (a, b) => (a - b) * (a - b)).Sum());
            right += nearest == test.Labels.Span[i] ? 1 : 0;
        }

        Assert.InRange(right, 350, 500);
    }

    [Fact]
    public void Load_divides_one_stream_of_images()
    {
        MnistData data = SyntheticDigits.Load(seed: 2);

        Assert.Equal((60_000, 10_000), (data.Train.Count, data.Test.Count));
        Assert.Equal(new ImageShape(1, 28, 28), data.Test.Shape);
        Assert.Equal(SyntheticDigits.Generate(10, 2).ByteImages.ToArray(), data.Train.Take(10).ByteImages.ToArray());
    }

    [Fact]
    public void Every_style_can_be_drawn()
    {
        Assert.Equal(10, DigitStyle.All.Length);
        foreach (DigitStyle style in DigitStyle.All.SelectMany(styles => styles))
        {
            Assert.True(style.ShapeCount >= 2);
            Assert.All(Enumerable.Range(0, style.ShapeCount), s => Assert.Equal(style.PointCount, style.Shape(s).Length));
            Assert.Equal(style.PointCount, style.StrokeEnds[^1]);
            int first = 0;
            foreach (int end in style.StrokeEnds)
            {
                Assert.True(end - first >= 2, "a stroke needs two points");
                first = end;
            }
        }
    }

    [Fact]
    public void Count_must_be_positive() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => SyntheticDigits.Generate(0));
}
