namespace MnistNative.Tests.Golden;

/// <summary>A loss and its gradient, of a network without layers.</summary>
internal static class LossCase
{
    private const double Tolerance = 1e-5;

    // Float32's rounding at 1, where a probability is subtracted, with some room.
    private const double RoundingAtOne = 2.5e-7;

    public static void CrossEntropy(GoldenCase c)
    {
        if (c.Bool("weighted"))
        {
            c.SkipMissing(" with class weights");
        }

        if (c.Number("label_smoothing") != 0)
        {
            c.SkipMissing(" with label smoothing");
        }

        bool mean = c.Text("reduction") switch
        {
            "mean" => true,
            "sum" => false,
            string other => throw new InvalidDataException($"There is no reduction {other}."),
        };
        GoldenTensor input = c.Tensor("input");
        int count = input.Shape[0];
        int[] labels = [.. c["target"].Select(label => (int)label)];
        using Model model = LayerCase.Input(input).Build();
        using Trainer trainer = model.CreateTrainer(
            new Sgd(0), count, Loss.CrossEntropy(mean ? Reduction.Mean : Reduction.Sum), inputGradient: true);

        StepResult step = trainer.Accumulate(input.Values, labels);
        float[] gradient = new float[input.Values.Length];
        trainer.GetInputGradient(gradient);

        // An image that is all but certainly right has a loss and a gradient that are rounded as the 1 they come from.
        double images = mean ? 1.0 / count : 1;
        NormWise.AssertClose("output", c["output"], [(float)step.Loss], Tolerance, RoundingAtOne * count * images);
        NormWise.AssertClose("grad_input", c["grad_input"], gradient, Tolerance, RoundingAtOne * Math.Sqrt(count) * images);
    }
}
