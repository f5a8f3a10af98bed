namespace MnistNative.Tests.Comparison;

/// <summary>A loss of the caller's own, of which only the gradient by the output is handed in.</summary>
public sealed class OutputGradientTests : IDisposable
{
    private const int Count = 5;
    private const int Classes = 3;

    private readonly Model _model = Sequential.Input(2, 6, 6)
        .Conv2d(4, kernel: 3).ReLU().MaxPool2d(2).Flatten().Linear(Classes).Build(seed: 3);

    private readonly float[] _images = Values(Count * 2 * 6 * 6);

    public void Dispose() => _model.Dispose();

    [Theory]
    [InlineData(Reduction.Mean)]
    [InlineData(Reduction.Sum)]
    public void EqualsCrossEntropyWithItsGradient(Reduction reduction)
    {
        int[] labels = [0, 1, 2, 1, 0];
        float[][] expected;
        using (Trainer trainer = _model.CreateTrainer(new Sgd(0), Count, Loss.CrossEntropy(reduction)))
        {
            trainer.Accumulate(_images, labels);
            expected = Gradients();
        }

        float[] gradient = _model.ProbabilitiesOfAll(_images);
        for (int n = 0; n < Count; n++)
        {
            gradient[(n * Classes) + labels[n]] -= 1;
        }

        using (Trainer trainer = _model.CreateTrainer(new Sgd(0), Count, Loss.OutputGradient(reduction)))
        {
            double product = _model.ForwardAll(_images).Zip(gradient, (score, diff) => (double)score * diff).Sum();
            StepResult step = trainer.Accumulate(_images, gradient);
            Assert.Equal(reduction == Reduction.Mean ? product / Count : product, step.Loss, 1e-5);
            Assert.Equal(0, step.Correct);
            foreach ((float[] right, float[] actual) in expected.Zip(Gradients()))
            {
                NormWise.AssertClose("gradient", right, actual, 1e-5);
            }
        }
    }

    [Fact]
    public void StepUpdates()
    {
        using Trainer trainer = _model.CreateTrainer(new Sgd(0.5f), Count, Loss.OutputGradient());
        float[] before = _model.GetParameter("4.bias");
        float[] gradient = [.. Enumerable.Repeat(0.25f, Count * Classes)];
        trainer.Step(_images, gradient);
        Assert.Equal(before.Select(value => value - (0.5f * 0.25f * Count)), _model.GetParameter("4.bias"), (a, b) => Math.Abs(a - b) < 1e-6);
    }

    [Fact]
    public void RefusesWhatDoesNotFit()
    {
        int[] labels = new int[Count];
        using (Trainer trainer = _model.CreateTrainer(new Sgd(0), Count, Loss.OutputGradient()))
        {
            Assert.Throws<ArgumentException>(() => trainer.Accumulate(_images, new float[(Count * Classes) - 1]));
            Assert.Throws<ArgumentException>(() => trainer.Accumulate(_images, labels));
        }

        using (Trainer trainer = _model.CreateTrainer(new Sgd(0), Count))
        {
            Assert.Throws<ArgumentException>(() => trainer.Accumulate(_images, new float[Count * Classes]));
        }

        ImageDataset data = ImageDataset.FromMemory(_images, labels, new ImageShape(2, 6, 6));
        Assert.Throws<ArgumentException>(() => _model.Fit(data, new FitOptions { Loss = Loss.OutputGradient() }));
    }

    private float[][] Gradients() => [.. _model.Parameters.Select(parameter => _model.GetGradient(parameter.Name))];

    private static float[] Values(int count)
    {
        var random = new Random(11);
        return [.. Enumerable.Range(0, count).Select(_ => (float)random.NextDouble() - 0.5f)];
    }
}
