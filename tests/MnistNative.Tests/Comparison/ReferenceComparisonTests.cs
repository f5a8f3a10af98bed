using MnistNative.Reference;

namespace MnistNative.Tests.Comparison;

/// <summary>
/// Networks at random, forward and backward, against the plain C# implementation in double precision. The case's number
/// is its seed; <c>MNISTNATIVE_TEST_SEED</c> starts the numbering elsewhere.
/// </summary>
public sealed class ReferenceComparisonTests
{
    private const int Cases = 40;
    private const double Tolerance = 2e-5;

    public static IEnumerable<ITheoryDataRow> Seeds()
    {
        int first = int.TryParse(Environment.GetEnvironmentVariable("MNISTNATIVE_TEST_SEED"), out int seed) ? seed : 20240229;
        return Enumerable.Range(first, Cases).Select(number => new TheoryDataRow<int>(number));
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void NetworksAgree(int seed)
    {
        var random = new Random(seed);
        int classes = random.Next(2, 20);
        Sequential network = new RandomNetwork(random).Draw(classes);
        TestContext.Current.TestOutputHelper!.WriteLine($"seed {seed}: {network.Summary()}");
        int count = random.Next(1, 9);
        bool mean = random.Next(2) == 0;

        foreach (bool fusion in (bool[])[true, false])
        {
            using Model model = network.Build((ulong)seed, options: new ModelOptions { Fusion = fusion });
            (float[] images, int[] labels, ReferenceNetwork reference) = Draw(model, count, random);

            Tensor<double> scores = reference.Forward(images);
            NormWise.AssertClose("scores", ReferenceNetwork.Narrow(scores.Values), model.ForwardAll(images), Tolerance);

            (double loss, Tensor<double> diff, int correct) = CrossEntropy.Of(scores, labels, mean);
            float[] inputGradient = reference.Backward(diff);
            using Trainer trainer = model.CreateTrainer(
                new Sgd(0.01f), count, Loss.CrossEntropy(mean ? Reduction.Mean : Reduction.Sum), inputGradient: true);
            StepResult step = trainer.Step(images, labels);

            Assert.Equal(correct, step.Correct);
            Assert.Equal(loss, step.Loss, Tolerance * Math.Max(1, Math.Abs(loss)));
            AssertGradients(model, reference);
            float[] actual = new float[images.Length];
            trainer.GetInputGradient(actual);
            NormWise.AssertClose("gradient of the images", inputGradient, actual, Tolerance);
        }
    }

    [Fact]
    public void SeedNetworkTrainsAlike()
    {
        const int Count = 4;
        using Model model = Sequential.Input(1, 28, 28)
            .Conv2d(32, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
            .Conv2d(64, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
            .Flatten()
            .Linear(128).ReLU()
            .Linear(10)
            .Build(seed: 7);
        Network<double> reference = Network<double>.Seed();
        foreach ((ParameterInfo info, Parameter<double> parameter) in model.Parameters.Zip(reference.Parameters))
        {
            ReferenceNetwork.Widen(model.GetParameter(info.Name)).CopyTo(parameter.Value, 0);
        }

        ImageDataset digits = SyntheticDigits.Generate(3 * Count, seed: 7);
        var optimizer = new Sgd<double>(0.05, momentum: 0.9, weightDecay: 1e-3, nesterov: true);
        using Trainer trainer = model.CreateTrainer(new Sgd(0.05f, Momentum: 0.9f, WeightDecay: 1e-3f, Nesterov: true), Count);
        for (int start = 0; start < digits.Count; start += Count)
        {
            int[] indices = [.. Enumerable.Range(start, Count)];
            float[] images = new float[Count * digits.Shape.Length];
            int[] labels = new int[Count];
            digits.Read(indices, images, labels);
            double loss = reference.Step(new Tensor<double>(new Shape(Count, 1, 28, 28), ReferenceNetwork.Widen(images)), labels, optimizer);
            Assert.Equal(loss, trainer.Step(digits, indices).Loss, 1e-5);
        }

        foreach ((ParameterInfo info, Parameter<double> parameter) in model.Parameters.Zip(reference.Parameters))
        {
            NormWise.AssertClose(info.Name, ReferenceNetwork.Narrow(parameter.Value), model.GetParameter(info.Name), Tolerance);
        }
    }

    /// <summary>Images and labels for which the network makes no close decision.</summary>
    private static (float[] Images, int[] Labels, ReferenceNetwork Reference) Draw(Model model, int count, Random random)
    {
        var reference = new ReferenceNetwork(model);
        int length = model.InputShape.Length;
        float[] images = new float[count * length];
        for (int n = 0; n < count; n++)
        {
            Span<float> image = images.AsSpan(n * length, length);
            int attempts = 0;
            do
            {
                Assert.True(attempts++ < 1000, "All images drawn lead to decisions that float32 cannot make.");
                foreach (ref float pixel in image)
                {
                    pixel = (float)((4 * random.NextDouble()) - 2);
                }

                reference.Forward(image);
            }
            while (reference.IsUndecided);
        }

        return (images, [.. Enumerable.Range(0, count).Select(_ => random.Next(model.OutputLength))], reference);
    }

    private static void AssertGradients(Model model, ReferenceNetwork reference)
    {
        foreach ((string name, Parameter<double> parameter) in reference.Parameters)
        {
            NormWise.AssertClose($"gradient of {name}", ReferenceNetwork.Narrow(parameter.Gradient), model.GetGradient(name), Tolerance);
        }
    }
}
