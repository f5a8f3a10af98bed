namespace MnistNative.Tests;

/// <summary>Sums of a million terms and more; one float that adds them all up is off by a percent.</summary>
public class LongSumTests
{
    [Fact]
    public void The_mean_of_a_large_image_is_right()
    {
        using Model model = Sequential.Input(1, 1000, 1000).GlobalAvgPool2d().Build();
        Near(0.1, model.Forward(Filled(1_000_000, 0.1f))[0], 2e-6);
        using Model large = Sequential.Input(1, 5000, 5000).GlobalAvgPool2d().Build();
        Assert.Equal(1f, large.Forward(Filled(25_000_000, 1f))[0]);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void The_gradients_of_a_convolution_over_a_large_image_are_right(int kernel)
    {
        using Model model = Sequential.Input(3, 1000, 1000).Conv2d(16, kernel).Build();
        int pixels = model.OutputLength / 16;
        using Trainer trainer = model.CreateTrainer(new Sgd(0f), 1, Loss.OutputGradient());
        trainer.Accumulate(Filled(3_000_000, 1f), Filled(16 * pixels, 0.1f));
        Assert.All(model.GetGradient("0.bias"), gradient => Near(0.1 * pixels, gradient, 2e-6));
        Assert.All(model.GetGradient("0.weight"), gradient => Near(0.1 * pixels, gradient, 1e-5));
    }

    [Fact]
    public void A_linear_layer_of_a_million_features_is_right()
    {
        using Model model = Sequential.Input(1_000_000).Linear(1, bias: false).Build();
        model.SetParameter("0.weight", Filled(1_000_000, 1f));
        Near(100_000, model.Forward(Filled(1_000_000, 0.1f))[0], 1e-5);
    }

    [Fact]
    public void The_gradients_of_a_linear_layer_over_a_million_rows_are_right()
    {
        using Model model = Sequential.Input(1).Linear(1).Build();
        using Trainer trainer = model.CreateTrainer(new Sgd(0f), 1_000_000, Loss.OutputGradient());
        trainer.Accumulate(Filled(1_000_000, 1f), Filled(1_000_000, 0.1f));
        Near(100_000, model.GetGradient("0.bias")[0], 2e-6);
        Near(100_000, model.GetGradient("0.weight")[0], 1e-5);
    }

    [Fact]
    public void The_loss_of_a_million_values_is_right()
    {
        using Model model = Sequential.Input(1, 1000, 1000).ReLU().Build();
        float[] values = Filled(1_000_000, 0.1f), zeros = new float[1_000_000];
        Near(0.01, model.Evaluate(values, zeros, Loss.Mse()), 2e-6);
        Near(0.1, model.Evaluate(values, zeros, Loss.L1()), 2e-6);
        Near(Math.Log(2), model.Evaluate(zeros, values, Loss.BceWithLogits()), 2e-6);
    }

    [Fact]
    public void The_gradient_of_a_word_that_comes_a_million_times_is_right()
    {
        using Model model = Sequential.Input(1_000_000).Embedding(2, 1).Build();
        using Trainer trainer = model.CreateTrainer(new Sgd(0f), 1, Loss.OutputGradient());
        trainer.Accumulate(Filled(1_000_000, 1f), Filled(1_000_000, 0.1f));
        float[] gradient = model.GetGradient("0.weight");
        Assert.Equal(0f, gradient[0]);
        Near(100_000, gradient[1], 2e-6);
    }

    private static float[] Filled(int count, float value)
    {
        float[] values = new float[count];
        Array.Fill(values, value);
        return values;
    }

    private static void Near(double expected, double actual, double relative) =>
        Assert.InRange(actual, expected * (1 - relative), expected * (1 + relative));
}
