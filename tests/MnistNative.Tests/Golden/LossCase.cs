namespace MnistNative.Tests.Golden;

/// <summary>A loss and its gradient, of a network without layers.</summary>
internal static class LossCase
{
    private const double Tolerance = 1e-5;

    // Float32's rounding at 1, where a probability is subtracted, with some room.
    private const double RoundingAtOne = 2.5e-7;

    public static void CrossEntropy(GoldenCase c)
    {
        GoldenTensor input = c.Tensor("input");
        int count = input.Shape[0];
        int[] labels = [.. c["target"].Select(label => (int)label)];
        float[]? weights = c.Bool("weighted") ? c["weight"] : null;
        Reduction reduction = ReductionOf(c);
        Loss loss = Loss.CrossEntropy(reduction, weights, c.Number("label_smoothing"));

        // An image that is all but certainly right has a loss and a gradient that are rounded as the 1 they come from.
        double share = reduction == Reduction.Mean ? 1.0 / labels.Sum(label => weights?[label] ?? 1.0) : 1;
        Check(c, loss, trainer => trainer.Accumulate(input.Values, labels), count * share, Math.Sqrt(count) * share);
    }

    /// <summary>A loss that compares with values.</summary>
    public static void Values(GoldenCase c, Func<Reduction, Loss> loss) =>
        Check(c, loss(ReductionOf(c)), trainer => trainer.Accumulate(c["input"], c["target"]), 0, 0);

    private static void Check(GoldenCase c, Loss loss, Func<Trainer, StepResult> accumulate, double lossScale, double gradientScale)
    {
        GoldenTensor input = c.Tensor("input");
        using Model model = LayerCase.Input(input).Build(device: c.Device);
        using Trainer trainer = model.CreateTrainer(new Sgd(0), input.Shape[0], loss, inputGradient: true);
        double value = accumulate(trainer).Loss;
        float[] gradient = new float[input.Values.Length];
        trainer.GetInputGradient(gradient);
        NormWise.AssertClose("output", c["output"], [(float)value], Tolerance, RoundingAtOne * lossScale);
        NormWise.AssertClose("grad_input", c["grad_input"], gradient, Tolerance, RoundingAtOne * gradientScale);
    }

    private static Reduction ReductionOf(GoldenCase c) => c.Text("reduction") switch
    {
        "mean" => Reduction.Mean,
        "sum" => Reduction.Sum,
        string other => throw new InvalidDataException($"There is no reduction {other}."),
    };
}
