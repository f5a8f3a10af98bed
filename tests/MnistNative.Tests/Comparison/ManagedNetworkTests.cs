using MnistNative.Managed;
using MnistNative.Reference;

namespace MnistNative.Tests.Comparison;

/// <summary>
/// The optimised C# that the benchmarks compare with, against the native library and the textbook: the same losses,
/// gradients and parameters, step by step.
/// </summary>
public sealed class ManagedNetworkTests
{
    private const double Tolerance = 2e-5;

    [Fact]
    public void SeedNetworkTrainsAlike() => AssertTrainsAlike(
        Sequential.Input(1, 28, 28)
            .Conv2d(32, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
            .Conv2d(64, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
            .Flatten()
            .Linear(128).ReLU()
            .Linear(10),
        Managed.Network.Seed(),
        Network<double>.Seed(),
        [3, 2]);

    /// <summary>Channels that fill no vector, borders that pooling leaves out, more images than chunks.</summary>
    [Fact]
    public void OddSizesTrainAlike() => AssertTrainsAlike(
        Sequential.Input(3, 11, 9)
            .Conv2d(5, kernel: 3).ReLU().MaxPool2d(2)
            .Conv2d(13, kernel: 2, padding: 1).ReLU().MaxPool2d(2)
            .Flatten()
            .Linear(37).ReLU()
            .Linear(7),
        new Managed.Network(
            7,
            new Managed.Conv2d(3, 11, 9, 5, kernel: 3, padding: 0, relu: true, dataGradient: true),
            new Managed.MaxPool2d(5, 9, 7, kernel: 2),
            new Managed.Conv2d(5, 4, 3, 13, kernel: 2, padding: 1, relu: true, dataGradient: true),
            new Managed.MaxPool2d(13, 5, 4, kernel: 2),
            new Managed.Linear(13, 4, 37, relu: true, dataGradient: true),
            new Managed.Linear(37, 1, 7, relu: false, dataGradient: true)),
        new Network<double>(
            new Reference.Conv2d<double>(3, 5, kernel: 3),
            new ReLU<double>(),
            new MaxPool2d<double>(2),
            new Reference.Conv2d<double>(5, 13, kernel: 2, padding: 1),
            new ReLU<double>(),
            new MaxPool2d<double>(2),
            new Flatten<double>(),
            new Reference.Linear<double>(52, 37),
            new ReLU<double>(),
            new Reference.Linear<double>(37, 7)),
        [21, 4, 35]);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void BothTilesMultiply(bool wide)
    {
        var random = new Random(11);
        foreach ((int rows, int columns, int segments, int length) in (ReadOnlySpan<(int, int, int, int)>)
            [(8, 32, 1, 5), (4, 16, 3, 7), (13, 75, 2, 9), (1, 1, 1, 1), (9, 130, 1, 64)])
        {
            foreach ((bool bias, bool add, bool relu) in (ReadOnlySpan<(bool, bool, bool)>)
                [(false, false, false), (true, false, true), (false, true, false), (false, true, true)])
            {
                AssertMultiplies(wide, random, rows, columns, segments, length, bias, add, relu);
            }
        }
    }

    private static unsafe void AssertMultiplies(
        bool wide, Random random, int rows, int columns, int segments, int length, bool bias, bool add, bool relu)
    {
        AlignedBuffer a = Draw(random, rows * segments * length);
        AlignedBuffer b = Draw(random, segments * length * columns);
        AlignedBuffer c = Draw(random, rows * columns);
        AlignedBuffer start = Draw(random, columns);
        float[] expected = new float[rows * columns];
        for (int i = 0; i < expected.Length; i++)
        {
            (int row, int column) = Math.DivRem(i, columns);
            double sum = bias ? start.Span[column] : add ? c.Span[i] : 0;
            for (int k = 0; k < segments * length; k++)
            {
                sum += (double)a.Span[(row * segments * length) + k] * b.Span[(k * columns) + column];
            }

            expected[i] = (float)(relu ? Math.Max(sum, 0) : sum);
        }

        var product = new Product
        {
            A = a.Pointer,
            AStep = 1,
            ASegment = length,
            B = b.Pointer,
            BStep = columns,
            BSegment = length * columns,
            C = c.Pointer,
            CStep = columns,
            Segments = segments,
            Length = length,
            Bias = bias ? start.Pointer : null,
            Add = add,
            Relu = relu,
        };
        fixed (nint* offsets = Enumerable.Range(0, rows).Select(row => (nint)(row * segments * length)).ToArray())
        {
            if (wide)
            {
                product.Run<WideTile>(offsets, 0, rows, 0, columns);
            }
            else
            {
                product.Run<NarrowTile>(offsets, 0, rows, 0, columns);
            }
        }

        NormWise.AssertClose($"{rows}×{columns}×{segments * length}", expected, c.Span, 1e-6, 1e-6);
    }

    private static AlignedBuffer Draw(Random random, int length)
    {
        var buffer = new AlignedBuffer(length);
        foreach (ref float value in buffer.Span)
        {
            value = (float)((2 * random.NextDouble()) - 1);
        }

        return buffer;
    }

    private static void AssertTrainsAlike(
        Sequential sequential, Managed.Network managed, Network<double> textbook, int[] counts)
    {
        using Model model = sequential.Build(seed: 5);
        foreach ((int i, ParameterInfo info) in model.Parameters.Index())
        {
            float[] values = model.GetParameter(info.Name);
            managed.Parameters[i].SetValue(values);
            ReferenceNetwork.Widen(values).CopyTo(textbook.Parameters[i].Value, 0);
        }

        var random = new Random(5);
        ImageShape shape = model.InputShape;
        var managedAdam = new Managed.Adam(1e-3f);
        var textbookAdam = new Reference.Adam<double>(1e-3);
        using Trainer trainer = model.CreateTrainer(new Adam(1e-3f), counts.Max());
        foreach (int count in counts)
        {
            float[] images = new float[count * shape.Length];
            AlignedBuffer managedImages = Draw(random, images.Length);
            int[] labels = [.. Enumerable.Range(0, count).Select(_ => random.Next(model.OutputLength))];
            int area = shape.Height * shape.Width;
            for (int i = 0; i < images.Length; i++)
            {
                (int n, int rest) = Math.DivRem(i, shape.Length);
                (int c, int pixel) = Math.DivRem(rest, area);
                images[i] = managedImages.Span[(((n * area) + pixel) * shape.Channels) + c];
            }

            double expected = textbook.Step(
                new Tensor<double>(new Shape(count, shape.Channels, shape.Height, shape.Width), ReferenceNetwork.Widen(images)),
                labels,
                textbookAdam);
            Assert.Equal(expected, managed.Step(managedImages, labels, managedAdam), Tolerance);
            Assert.Equal(expected, trainer.Step(images, labels).Loss, Tolerance);
            foreach ((int i, ParameterInfo info) in model.Parameters.Index())
            {
                float[] gradient = ReferenceNetwork.Narrow(textbook.Parameters[i].Gradient);
                NormWise.AssertClose($"managed gradient of {info.Name}", gradient, managed.Parameters[i].GetGradient(), Tolerance);
                NormWise.AssertClose($"native gradient of {info.Name}", gradient, model.GetGradient(info.Name), Tolerance);

                // Adam divides by the gradient's own size at first, so an error of a tiny one shows in full.
                float[] value = ReferenceNetwork.Narrow(textbook.Parameters[i].Value);
                NormWise.AssertClose($"managed {info.Name}", value, managed.Parameters[i].GetValue(), 1e-4);
                NormWise.AssertClose($"native {info.Name}", value, model.GetParameter(info.Name), 1e-4);
            }
        }
    }
}
