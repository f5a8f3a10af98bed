using MnistNative.Tests.Api;

namespace MnistNative.Tests.Training;

public sealed class TrainerTests
{
    [Fact]
    public void StepsOnBytesFloatsAndDataSetsAreTheSame()
    {
        ImageDataset bytes = Tiny.Bytes(24);
        ImageDataset floats = Tiny.Floats(24);
        int[] labels = bytes.Labels.ToArray();
        int[] indices = [.. Enumerable.Range(0, 24)];
        float[] expected = Train(trainer => trainer.Step(floats.FloatImages.Span, labels));
        Assert.Equal(expected, Train(trainer => trainer.Step(floats, indices)));
        Assert.Equal(expected, Train(trainer => trainer.Step(new PulledData(floats), indices)));
        float[] fromBytes = Train(trainer => trainer.Step(bytes.ByteImages.Span, labels));
        Assert.Equal(fromBytes, Train(trainer => trainer.Step(bytes, indices)));
        Assert.InRange(Tiny.Distance(expected, fromBytes), 0, 1e-5);

        static float[] Train(Func<Trainer, StepResult> step)
        {
            using Model model = Tiny.Network.Build(seed: 2);
            using Trainer trainer = model.CreateTrainer(new Adam(), batchSize: 24);
            StepResult first = step(trainer);
            StepResult second = step(trainer);
            Assert.Equal(24, first.Count);
            Assert.True(second.Loss < first.Loss);
            return Tiny.ParametersOf(model);
        }
    }

    [Fact]
    public void AStepReportsLossAndHitsBeforeTheUpdate()
    {
        ImageDataset data = Tiny.Bytes(20);
        using Model model = Tiny.Network.Build(seed: 2);
        EvaluationResult before = model.Evaluate(data);
        using Trainer trainer = model.CreateTrainer(new Sgd(0.1f), batchSize: 32);
        StepResult step = trainer.Step(data.ByteImages.Span, data.Labels.Span);
        Assert.Equal(before.Loss, step.Loss, 1e-5);
        Assert.Equal(before.Correct, step.Correct);
        Assert.True(model.Evaluate(data).Loss < before.Loss);
    }

    [Theory]
    [InlineData(Reduction.Mean)]
    [InlineData(Reduction.Sum)]
    public void SmallBatchesAddUpToALargeOne(Reduction reduction)
    {
        ImageDataset data = Tiny.Floats(20);
        using Model large = Tiny.Network.Build(seed: 2);
        using Trainer whole = large.CreateTrainer(new Sgd(0.01f), 20, Loss.CrossEntropy(reduction));
        StepResult expected = whole.Step(data, [.. Enumerable.Range(0, 20)]);

        using Model small = Tiny.Network.Build(seed: 2);
        using Trainer parts = small.CreateTrainer(new Sgd(0.01f), 20, Loss.CrossEntropy(reduction));
        StepResult first = parts.Accumulate(data, [.. Enumerable.Range(0, 13)]);
        StepResult second = parts.Accumulate(data, [.. Enumerable.Range(13, 7)]);
        Assert.Equal(expected.Correct, first.Correct + second.Correct);
        double loss = reduction == Reduction.Sum
            ? first.Loss + second.Loss
            : ((13 * first.Loss) + (7 * second.Loss)) / 20;
        Assert.Equal(expected.Loss, loss, 1e-4);
        foreach (ParameterInfo parameter in small.Parameters)
        {
            Assert.InRange(Tiny.Distance(large.GetGradient(parameter.Name), small.GetGradient(parameter.Name)), 0, 1e-5);
        }

        parts.Apply();
        Assert.InRange(Tiny.Distance(Tiny.ParametersOf(large), Tiny.ParametersOf(small)), 0, 1e-6);
    }

    [Fact]
    public void ApplyNeedsGradientsAndClearForgetsThem()
    {
        ImageDataset data = Tiny.Floats(8);
        int[] all = [.. Enumerable.Range(0, 8)];
        using Model model = Tiny.Network.Build(seed: 2);
        using Trainer trainer = model.CreateTrainer(new Sgd(0.1f), 8);
        Assert.Throws<InvalidOperationException>(trainer.Apply);
        trainer.Accumulate(data, all);
        trainer.Clear();
        Assert.Throws<InvalidOperationException>(trainer.Apply);
        trainer.Accumulate(data, all);
        trainer.Apply();
        Assert.Throws<InvalidOperationException>(trainer.Apply);

        using Model once = Tiny.Network.Build(seed: 2);
        using Trainer other = once.CreateTrainer(new Sgd(0.1f), 8);
        other.Step(data, all);
        Assert.Equal(Tiny.ParametersOf(once), Tiny.ParametersOf(model));
    }

    [Fact]
    public void TheGradientIsTheSlopeOfTheLoss()
    {
        ImageDataset data = Tiny.Floats(10);
        int[] all = [.. Enumerable.Range(0, 10)];
        using Model model = Tiny.Network.Build(seed: 2);
        using Trainer trainer = model.CreateTrainer(new Sgd(0), 10, inputGradient: true);
        Assert.Throws<InvalidOperationException>(() => trainer.GetInputGradient(new float[640]));
        trainer.Step(data, all);
        float gradient = model.GetGradient("6.bias")[1];
        float[] bias = model.GetParameter("6.bias");
        const float H = 1e-2f;
        bias[1] += H;
        model.SetParameter("6.bias", bias);
        double above = trainer.Step(data, all).Loss;
        bias[1] -= 2 * H;
        model.SetParameter("6.bias", bias);
        double below = trainer.Step(data, all).Loss;
        Assert.Equal((above - below) / (2 * H), gradient, 1e-3);

        float[] input = new float[10 * 64];
        trainer.GetInputGradient(input);
        Assert.Contains(input, value => value != 0);
        Assert.Throws<ArgumentException>(() => trainer.GetInputGradient(new float[64]));
    }

    [Fact]
    public void TheLearningRateCanChange()
    {
        ImageDataset data = Tiny.Floats(8);
        int[] all = [.. Enumerable.Range(0, 8)];
        using Model model = Tiny.Network.Build(seed: 2);
        using Trainer trainer = model.CreateTrainer(new Adam(0.01f), 8);
        trainer.Step(data, all);
        Assert.Equal(0.01f, trainer.LearningRate);
        trainer.LearningRate = 0;
        float[] before = Tiny.ParametersOf(model);
        trainer.Step(data, all);
        Assert.Equal(before, Tiny.ParametersOf(model));
        Assert.Throws<ArgumentException>(() => trainer.LearningRate = float.NaN);
        Assert.Throws<ArgumentException>(() => trainer.LearningRate = -1);
        Assert.Equal(0, trainer.LearningRate);
    }

    [Fact]
    public void WrongBatchesAreRefusedAndChangeNothing()
    {
        ImageDataset data = Tiny.Floats(8);
        using Model model = Tiny.Network.Build(seed: 2);
        using Trainer trainer = model.CreateTrainer(new Adam(), batchSize: 4);
        float[] before = Tiny.ParametersOf(model);
        Assert.Throws<ArgumentException>(() => trainer.Step(new float[5 * 64], new int[5]));
        Assert.Throws<ArgumentException>(() => trainer.Step(new float[64], new int[2]));
        Assert.Throws<ArgumentException>(() => trainer.Step(new float[63], new int[1]));
        Assert.Throws<ArgumentException>(() => trainer.Step(new byte[64], [3]));
        Assert.Throws<ArgumentException>(() => trainer.Step(new byte[64], [-1]));
        Assert.Throws<ArgumentException>(() => trainer.Step(data, []));
        Assert.Throws<ArgumentException>(() => trainer.Step(data, [8]));
        Assert.Throws<ArgumentException>(() => trainer.Step(data, [-1]));
        Assert.Throws<ArgumentException>(() => trainer.Step(data, [0, 1, 2, 3, 4]));
        Assert.Equal(before, Tiny.ParametersOf(model));
    }

    [Fact]
    public void WrongOptimizersAreRefused()
    {
        using Model model = Tiny.Network.Build();
        Optimizer[] wrong =
        [
            new Adam(-1), new Adam(float.NaN), new Adam(Beta1: 1), new Adam(Beta2: -0.1f), new Adam(Epsilon: 0),
            new Adam(WeightDecay: -1), new Sgd(float.PositiveInfinity), new Sgd(0.1f, Momentum: -1),
            new Sgd(0.1f, Nesterov: true), new Sgd(0.1f, 0.9f, Dampening: 0.5f, Nesterov: true),
        ];
        Assert.All(wrong, optimizer => Assert.ThrowsAny<ArgumentException>(() => model.CreateTrainer(optimizer)));
        Assert.Throws<ArgumentOutOfRangeException>(() => model.CreateTrainer(new Adam(), batchSize: 0));
        using Trainer trainer = model.CreateTrainer(new Sgd(0.1f, 0.9f, Nesterov: true));
    }

    [Fact]
    public void AModelHasOneTrainerAtATime()
    {
        ImageDataset data = Tiny.Bytes(8);
        using Model model = Tiny.Network.Build();
        using (model.CreateTrainer(new Adam()))
        {
            Assert.Throws<InvalidOperationException>(() => model.CreateTrainer(new Adam()));
            Assert.Throws<InvalidOperationException>(() => model.Fit(data));
        }

        model.Fit(data);
        model.CreateTrainer(new Adam()).Dispose();
    }

    [Fact]
    public void ThereIsNoGradientWithoutTraining()
    {
        using Model model = Tiny.Network.Build();
        Assert.Throws<InvalidOperationException>(() => model.GetGradient("0.weight"));
    }

    [Fact]
    public void AfterDisposeEverythingThrows()
    {
        using Model model = Tiny.Network.Build();
        Trainer trainer = model.CreateTrainer(new Adam());
        trainer.Dispose();
        trainer.Dispose();
        Assert.Throws<ObjectDisposedException>(() => trainer.Step(new float[64], new int[1]));
        Assert.Throws<ObjectDisposedException>(() => trainer.Step(Tiny.Bytes(2), [0]));
        Assert.Throws<ObjectDisposedException>(trainer.Apply);
        Assert.Throws<ObjectDisposedException>(trainer.Clear);
        Assert.Throws<ObjectDisposedException>(() => trainer.LearningRate = 1);
        Assert.Throws<ObjectDisposedException>(() => trainer.MemoryPlan);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void NothingUsesAStaleCopyOfTheParameters(bool fusion)
    {
        var options = new ModelOptions { Fusion = fusion };
        ImageDataset data = Tiny.Floats(32);
        int[] all = [.. Enumerable.Range(0, 32)];
        using Model model = Tiny.Network.Build(seed: 2, options: options);
        using Trainer trainer = model.CreateTrainer(new Adam(0.01f), 32);
        CompareWithFresh();
        trainer.Step(data, all);
        CompareWithFresh();
        trainer.Accumulate(data, all);
        CompareWithFresh();
        trainer.Apply();
        CompareWithFresh();
        foreach (ParameterInfo parameter in model.Parameters)
        {
            model.SetParameter(parameter.Name, [.. model.GetParameter(parameter.Name).Select(value => value * 1.5f)]);
            CompareWithFresh();
        }

        StepResult step = trainer.Step(data, all);
        CompareWithFresh();
        using Model source = Tiny.Network.Build(seed: 9);
        model.CopyParametersFrom(source);
        CompareWithFresh();
        Assert.NotEqual(step.Loss, trainer.Step(data, all).Loss);
        CompareWithFresh();

        void CompareWithFresh()
        {
            using Model fresh = Tiny.Network.Build(seed: 77, options: options);
            foreach (ParameterInfo parameter in model.Parameters)
            {
                fresh.SetParameter(parameter.Name, model.GetParameter(parameter.Name));
            }

            Assert.Equal(fresh.Evaluate(data), model.Evaluate(data));
            Assert.Equal(fresh.ForwardAll(data.FloatImages.Span), model.ForwardAll(data.FloatImages.Span));
        }
    }
}
