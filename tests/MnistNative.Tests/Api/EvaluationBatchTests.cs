namespace MnistNative.Tests.Api;

/// <summary>How many images an evaluation reads at a time.</summary>
public sealed class EvaluationBatchTests
{
    [Fact]
    public void LargeImagesAreEvaluatedFewAtATime()
    {
        // Five hundred of them are more values than an array holds.
        var shape = new ImageShape(3, 1200, 1200);
        using Model model = Sequential.Input(shape).GlobalAvgPool2d().Flatten().Linear(2).Build(seed: 1);
        ImageDataset train = ImageDataset.FromMemory(new byte[shape.Length], new int[1], shape, 2);
        foreach (Action<IImageDataset> evaluate in (Action<IImageDataset>[])[
            data => model.Evaluate(data),
            data => model.Evaluate(data, Loss.CrossEntropy()),
            data => model.EvaluateReport(data),
            data => model.Fit(train, new FitOptions { Validation = data })])
        {
            var data = new UnreadableData(shape, Count: 500);
            Assert.Throws<IOException>(() => evaluate(data));
            Assert.Equal((1 << 24) / shape.Length, data.LargestBatch);
        }
    }

    [Fact]
    public void SmallImagesAreEvaluatedManyAtATime()
    {
        var data = new PulledData(Tiny.Floats(501)) { OnRead = _ => { } };
        using Model model = Tiny.Network.Build(seed: 1);
        Assert.Equal(501, model.Evaluate(data).Count);
        Assert.Equal(2, data.Reads);
    }

    /// <summary>Notes what is asked for, and gives nothing.</summary>
    private sealed record UnreadableData(ImageShape Shape, int Count) : IImageDataset
    {
        public int LargestBatch { get; private set; }

        public int ClassCount => 2;

        public void Read(ReadOnlySpan<int> indices, Span<float> pixels, Span<int> labels)
        {
            LargestBatch = Math.Max(LargestBatch, indices.Length);
            throw new IOException("the data cannot be read");
        }
    }
}
