namespace MnistNative.Tests.Golden;

/// <summary>Some steps of an optimizer on one parameter whose gradients are given.</summary>
internal static class OptimizerCase
{
    public static void Run(GoldenCase c, Optimizer optimizer)
    {
        float[] before = c["param_0"];

        // The output is the weights times an input of 1, so their gradient is the output's, to the bit.
        using Model model = Sequential.Input(1, 1, 1).Flatten().Linear(before.Length, bias: false, name: "layer").Build(device: c.Device);
        model.SetParameter("layer.weight", before);
        using Trainer trainer = model.CreateTrainer(optimizer, batchSize: 1, Loss.OutputGradient());
        int step = 1;
        for (; c.Has($"param_{step}"); step++)
        {
            trainer.Accumulate([1f], c[$"grad_{step}"]);
            Assert.Equal(c[$"grad_{step}"], model.GetGradient("layer.weight"));
            trainer.Apply();

            // A float32 parameter of size 1 that moves by 1e-3 has rounded the movement by up to 6e-5 of it.
            float[] expected = c[$"param_{step}"];
            float[] actual = model.GetParameter("layer.weight");
            NormWise.AssertClose($"param_{step}", expected, actual, 1e-6);
            NormWise.AssertClose(
                $"movement to param_{step}", NormWise.Difference(expected, before), NormWise.Difference(actual, before), 1e-4);
        }

        Assert.True(step > 1, "The case has no steps.");
    }
}
