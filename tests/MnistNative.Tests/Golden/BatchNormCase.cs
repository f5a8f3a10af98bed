namespace MnistNative.Tests.Golden;

/// <summary>Batch normalisation in training, and with running statistics.</summary>
internal static class BatchNormCase
{
    private const float Step = 8;

    public static void Train(GoldenCase c)
    {
        GoldenTensor input = c.Tensor("input");
        using Model model = Make(c, c.Number("momentum"), "running_mean_before", "running_var_before");
        using Trainer trainer = model.CreateTrainer(new Sgd(0), input.Shape[0], Loss.OutputGradient(), inputGradient: true);
        double product = trainer.Accumulate(input.Values, c["grad_output"]).Loss;
        double expected = c["output"].Zip(c["grad_output"], (value, gradient) => (double)value * gradient).Sum();
        Assert.Equal(expected, product, LayerCase.Tolerance * NormWise.Norm(c["output"]) * NormWise.Norm(c["grad_output"]));

        double terms = LayerCase.RoundingOfTerms * NormWise.Norm(c["grad_output"]);
        float[] gradient = new float[input.Values.Length];
        trainer.GetInputGradient(gradient);
        NormWise.AssertClose("grad_input", c["grad_input"], gradient, LayerCase.Tolerance);
        NormWise.AssertClose("grad_weight", c["grad_weight"], model.GetGradient("bn.weight"), LayerCase.Tolerance, terms);
        NormWise.AssertClose("grad_bias", c["grad_bias"], model.GetGradient("bn.bias"), LayerCase.Tolerance, terms);
        NormWise.AssertClose("running_mean", c["running_mean_after"], model.GetParameter("bn.running_mean"), LayerCase.Tolerance);
        NormWise.AssertClose("running_var", c["running_var_after"], model.GetParameter("bn.running_var"), LayerCase.Tolerance);
        Assert.Equal([1f], model.GetParameter("bn.num_batches_tracked"));
        AssertOutput(c, input);
    }

    public static void Evaluate(GoldenCase c)
    {
        GoldenTensor input = c.Tensor("input");
        using Model model = Make(c, momentum: 0.1f, "running_mean", "running_var");
        float[] output = model.ForwardAll(input.Values);
        NormWise.AssertClose("output", c["output"], output, LayerCase.Tolerance);

        // Training would use the batch's statistics. With the running ones the output is a straight line of the input, the
        // weight and the bias, whose slopes two points give.
        float[] gradient = Gradient(c, output, model.ForwardAll([.. input.Values.Select(value => value + Step)]));
        NormWise.AssertClose("grad_input", c["grad_input"], gradient, LayerCase.Tolerance);
        AssertParameterGradient(c, model, output, "weight");
        AssertParameterGradient(c, model, output, "bias");
    }

    private static void AssertParameterGradient(GoldenCase c, Model model, float[] output, string parameter)
    {
        model.SetParameter($"bn.{parameter}", [.. c[parameter].Select(value => value + Step)]);
        float[] gradient = Gradient(c, output, model.ForwardAll(c["input"]));
        model.SetParameter($"bn.{parameter}", c[parameter]);

        int channels = c[parameter].Length;
        int plane = model.InputShape.Height * model.InputShape.Width;
        double[] sums = new double[channels];
        for (int i = 0; i < gradient.Length; i++)
        {
            sums[i / plane % channels] += gradient[i];
        }

        NormWise.AssertClose(
            $"grad_{parameter}",
            c[$"grad_{parameter}"],
            [.. sums.Select(sum => (float)sum)],
            LayerCase.Tolerance,
            LayerCase.RoundingOfTerms * NormWise.Norm(c["grad_output"]));
    }

    private static float[] Gradient(GoldenCase c, float[] before, float[] after) =>
        [.. after.Zip(before, (a, b) => (a - b) / Step).Zip(c["grad_output"], (slope, diff) => slope * diff)];

    private static Model Make(GoldenCase c, float momentum, string mean, string variance)
    {
        Model model = LayerCase.Input(c.Tensor("input")).BatchNorm2d(c.Number("eps"), momentum, name: "bn").Build(device: c.Device);
        model.SetParameter("bn.weight", c["weight"]);
        model.SetParameter("bn.bias", c["bias"]);
        model.SetParameter("bn.running_mean", c[mean]);
        model.SetParameter("bn.running_var", c[variance]);
        return model;
    }

    // Training does not hand out its outputs, but reports output × gradient: with a single 1 in the gradient, the output
    // at that place.
    private static void AssertOutput(GoldenCase c, GoldenTensor input)
    {
        using Model model = Make(c, momentum: 0, "running_mean_before", "running_var_before");
        using Trainer trainer = model.CreateTrainer(new Sgd(0), input.Shape[0], Loss.OutputGradient());
        float[] expected = c["output"];
        float[] at = new float[expected.Length];
        var random = new Random(1);
        for (int i = 0; i < 20; i++)
        {
            int place = random.Next(at.Length);
            at[place] = 1;
            Assert.Equal(expected[place], trainer.Accumulate(input.Values, at).Loss, 1e-5 * Math.Max(1, Math.Abs(expected[place])));
            at[place] = 0;
        }
    }
}
