namespace MnistNative.Tests.Api;

/// <summary>Layers that are put together of several native nodes, with numbers that can be checked by hand.</summary>
public sealed class LayerValueTests
{
    private static readonly float[] s_row = [1, 2, 3, 4];

    [Fact]
    public void SamePaddingStandsBehind()
    {
        Assert.Equal([6f, 7], Ones(Sequential.Input(1, 1, 4).Conv2d(1, (1, 3), stride: 2, padding: Padding.Same, bias: false), s_row));
        Assert.Equal([3f, 5, 7, 4], Ones(Sequential.Input(1, 4).Conv1d(1, 2, padding: Padding.Same, bias: false), s_row));
    }

    [Theory]
    [InlineData(PaddingMode.Zeros, new float[] { 3, 6, 9, 7 })]
    [InlineData(PaddingMode.Reflect, new float[] { 5, 6, 9, 10 })]
    [InlineData(PaddingMode.Replicate, new float[] { 4, 6, 9, 11 })]
    [InlineData(PaddingMode.Circular, new float[] { 7, 6, 9, 8 })]
    public void PaddingModes(PaddingMode mode, float[] expected)
    {
        Assert.Equal(
            expected, Ones(Sequential.Input(1, 1, 4).Conv2d(1, (1, 3), padding: (0, 1), bias: false, paddingMode: mode), s_row));
        Assert.Equal(expected, Ones(Sequential.Input(1, 4).Conv1d(1, 3, padding: 1, bias: false, paddingMode: mode), s_row));
    }

    [Fact]
    public void HighwayMixes()
    {
        // t = x / 4 and h = 3 x: y = 3 x² / 4 + (1 − x / 4) x = x + x² / 2
        float[] y = Run(Sequential.Input(1, 2, 2).Highway(h => h.Scale(3), t => t.Scale(0.25f)), s_row);
        Assert.Equal([1.5f, 4, 7.5f, 12], y);
    }

    [Fact]
    public void BranchesArePutTogether()
    {
        Sequential input = Sequential.Input(4, 1, 1);
        Assert.Equal([3f, 6, 9, 12], Run(input.Residual(b => b.Scale(2)), s_row));
        Assert.Equal([5f, 10, 15, 20], Run(input.Residual(b => b.Scale(2), s => s.Scale(3)), s_row));
        Assert.Equal([-1f, -2, -3, -4], Run(input.Subtract(a => a.Scale(2), b => b.Scale(3)), s_row));
        Assert.Equal([2f, 8, 18, 32], Run(input.Multiply(g => g.Scale(2)), s_row));
        Assert.Equal([1f, 2, 3, 4, 2, 4, 6, 8], Run(input.Concat(a => a, b => b.Scale(2)), s_row));
        Assert.Equal([1f, 2, 6, 8], Run(input.Split(a => a, b => b.Scale(2)), s_row));
        Assert.Equal([1f, 3, 2, 4], Run(input.ChannelShuffle(2), s_row));
        Assert.Equal([2f, 3], Run(input.Slice(1, 2), s_row));
    }

    [Fact]
    public void MaximaGoBackWhereTheyWere()
    {
        Sequential network = Sequential.Input(1, 2, 4).Block("down", d => d.MaxPool2d(2, name: "pool")).MaxUnpool2d("down.pool");
        Assert.Equal([0f, 0, 0, 9, 0, 7, 0, 0], Run(network, [1, 2, 8, 9, 3, 7, 5, 6]));
    }

    [Fact]
    public void HeadsAddTheirWeightedLossInTrainingOnly()
    {
        const float weight = 0.25f;
        using Model model = Sequential.Input(4).Head("aux", weight, h => h.Linear(3)).Linear(3, name: "fc").Build(seed: 1);
        model.SetParameter("aux.0.weight", model.GetParameter("fc.weight"));
        model.SetParameter("aux.0.bias", model.GetParameter("fc.bias"));
        float[] images = [.. s_row, 2, -1, 0, 1];
        float[] scores = model.ForwardAll(images);
        Assert.Equal(6, scores.Length);

        using Model alone = Sequential.Input(4).Linear(3, name: "fc").Build();
        alone.SetParameter("fc.weight", model.GetParameter("fc.weight"));
        alone.SetParameter("fc.bias", model.GetParameter("fc.bias"));
        Assert.Equal(alone.ForwardAll(images), scores);

        using Trainer trainer = model.CreateTrainer(new Sgd(0.1f), batchSize: 2);
        using Trainer plain = alone.CreateTrainer(new Sgd(0.1f), batchSize: 2);
        StepResult step = trainer.Step(images, [2, 0]);
        StepResult expected = plain.Step(images, [2, 0]);
        Assert.Equal((1 + weight) * expected.Loss, step.Loss, 1e-6);
        Assert.Equal(expected.Correct, step.Correct);
        NormWise.AssertClose(
            "aux gradient",
            [.. alone.GetGradient("fc.weight").Select(value => weight * value)],
            model.GetGradient("aux.0.weight"),
            1e-6);
        NormWise.AssertClose("gradient", alone.GetGradient("fc.weight"), model.GetGradient("fc.weight"), 1e-6);
    }

    [Fact]
    public void AHeadOfAnotherLengthIsRefusedInTraining()
    {
        using Model model = Sequential.Input(4).Head("aux", 1, h => h.Linear(2)).Linear(3).Build();
        Assert.Contains("aux", Assert.Throws<ArgumentException>(() => model.CreateTrainer(new Sgd(0.1f))).Message);
    }

    // With weights of one, a convolution without bias adds up its windows.
    private static float[] Ones(Sequential network, float[] input)
    {
        using Model model = network.Build();
        float[] weight = model.GetParameter("0.weight");
        Array.Fill(weight, 1);
        model.SetParameter("0.weight", weight);
        return model.ForwardAll(input);
    }

    private static float[] Run(Sequential network, float[] input)
    {
        using Model model = network.Build();
        return model.ForwardAll(input);
    }
}
