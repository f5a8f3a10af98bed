using MnistNative.IO;
using MnistNative.Tests.Data;

namespace MnistNative.Tests.Api;

/// <summary>Infinities, NaN, the largest and the smallest numbers, and counters beyond what a float holds.</summary>
public class NotFiniteTests
{
    [Fact]
    public void OneInfinitePixelReachesItsNeighboursOnly()
    {
        using Model model = Convolution(1);
        float[] image = new float[16 * 1024];
        image[0] = float.PositiveInfinity;
        float[] channel = model.Forward(image)[..1024];
        Assert.Equal(4, channel.Count(float.IsPositiveInfinity));
        Assert.Equal(1020, channel.Count(value => value == 0));
        Assert.All(
            model.Forward(Fill(image.Length, float.PositiveInfinity)),
            value => Assert.Equal(float.PositiveInfinity, value));
    }

    [Fact]
    public void HugePixelsDoNotOverflowOnTheWay()
    {
        using Model model = Convolution(1e-3f);
        float[] image = new float[16 * 1024];
        image[(5 * 32) + 5] = 2e38f;
        Assert.Equal(2e35, model.Forward(image)[(5 * 32) + 5], 2e30);
    }

    [Theory]
    [InlineData(float.PositiveInfinity, 0, double.PositiveInfinity)]
    [InlineData(float.NegativeInfinity, 1, double.PositiveInfinity)]
    [InlineData(float.PositiveInfinity, 1, 0)]
    [InlineData(float.NegativeInfinity, 0, 0)]
    public void BinaryCrossEntropyOfInfiniteLogits(float logit, float target, double loss)
    {
        using Model model = Sequential.Input(1, 1, 1).Scale(1).Build();
        Assert.Equal(loss, model.Evaluate([logit], [target], Loss.BceWithLogits()));
    }

    [Fact]
    public void NormsOfOneValueAreNotTrained()
    {
        foreach (int count in new[] { 1, 2 })
        {
            Refused(Sequential.Input(8, 1, 1).InstanceNorm2d(), count);
            Refused(Sequential.Input(8, 1, 1).GroupNorm(8), count);
        }

        static void Refused(Sequential network, int count)
        {
            using Model model = network.Build();
            using Trainer trainer = model.CreateTrainer(new Sgd(0.1f), count, Loss.OutputGradient());
            float[] ones = Fill(8 * count, 1);
            string message = Assert.Throws<ArgumentException>(() => trainer.Step(ones, ones)).Message;
            Assert.Contains("\"0\"", message, StringComparison.Ordinal);
            Assert.Contains("more than 1 value", message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void BytesAreNoIndicesOfWords()
    {
        using Model model = Sequential.Input(4).Embedding(256, 8).Build();
        string message = Assert.Throws<ArgumentException>(() => model.Forward(new byte[] { 255, 0, 1, 2 })).Message;
        Assert.Contains("byte", message, StringComparison.Ordinal);
        Assert.Equal(32, model.Forward([255f, 0, 1, 2]).Length);
    }

    [Fact]
    public void ADropoutMayDropAll()
    {
        Sequential image = Sequential.Input(3, 4, 4).Conv2d(4, 1);
        foreach (Sequential network in new[] { image.Dropout(1), image.Dropout2d(1), image.StochasticDepth(1) })
        {
            using Model model = network.Build();
            using Trainer trainer = model.CreateTrainer(new Sgd(0.1f), 2, Loss.OutputGradient());
            Assert.Equal(0, trainer.Accumulate(Fill(96, 1), Fill(128, 1)).Loss);
            Assert.All(model.GetGradient("0.weight"), gradient => Assert.Equal(0, gradient));
            Assert.Contains(model.Forward(Fill(96, 1), count: 2), value => value != 0);
        }
    }

    [Fact]
    public void DenormalsAreZeros()
    {
        using Model half = Sequential.Input(1, 1, 1).Scale(0.5f).Build();
        Assert.Equal([0f], half.Forward([2e-39f]));

        using Model model = Sequential.Input(4).Linear(4).Build();
        using Trainer trainer = model.CreateTrainer(new Adam(), 1, Loss.OutputGradient());
        trainer.Step(Fill(4, 1), Fill(4, 1));
        float[] zeros = new float[4];
        for (int i = 0; i < 1500; i++)
        {
            trainer.Step(zeros, zeros);
        }

        using var folder = new TempFolder();
        string path = Path.Combine(folder.Path, "decayed.safetensors");
        trainer.SaveCheckpoint(path);
        using SafeTensorsReader file = SafeTensorsReader.Open(path);
        Assert.True(file.TryGet("optimizer.moment1.0.weight", out TensorEntry? moments));
        float[] values = new float[moments.Count];
        file.Read(moments, values);
        Assert.DoesNotContain(values, float.IsSubnormal);
    }

    [Fact]
    public void BatchesAreCountedBeyondWhatAFloatHolds()
    {
        Sequential network = Sequential.Input(1, 4, 4).BatchNorm2d();
        long count = 1L << 24;
        using Model model = network.Build();
        model.SetParameter("0.num_batches_tracked", [count]);
        using var folder = new TempFolder();
        string path = Path.Combine(folder.Path, "counted.safetensors");
        for (int i = 0; i < 3; i++)
        {
            using (Trainer trainer = model.CreateTrainer(new Sgd(0), 1, Loss.OutputGradient()))
            {
                trainer.Step(Fill(16, 1), Fill(16, 1));
                count++;
                trainer.SaveCheckpoint(path);
                Assert.Equal(count, Counter(path));
            }

            model.Save(path);
            Assert.Equal(count, Counter(path));
            using Model loaded = Model.Load(path);
            using Model copy = network.Build();
            copy.CopyParametersFrom(loaded);
            copy.Save(path);
            Assert.Equal(count, Counter(path));
            model.LoadParameters(path);
        }

        Assert.Throws<ArgumentException>(() => model.GetParameter("0.num_batches_tracked", new float[2]));

        static long Counter(string path)
        {
            using SafeTensorsReader file = SafeTensorsReader.Open(path);
            Assert.True(file.TryGet("0.num_batches_tracked", out TensorEntry? counter));
            Assert.Equal(TensorType.I64, counter.Type);
            return file.ReadCounter(counter);
        }
    }

    private static float[] Fill(int count, float value)
    {
        float[] values = new float[count];
        Array.Fill(values, value);
        return values;
    }

    private static Model Convolution(float weight)
    {
        Model model = Sequential.Input(16, 32, 32).Conv2d(16, 3, padding: 1, bias: false).Build();
        model.SetParameter("0.weight", Fill(16 * 16 * 9, weight));
        return model;
    }
}
