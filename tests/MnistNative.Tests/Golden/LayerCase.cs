namespace MnistNative.Tests.Golden;

/// <summary>One layer forward and backward, with the case's input, parameters and output gradient.</summary>
internal static class LayerCase
{
    public const double Tolerance = 1e-5;

    // A sum whose terms cancel keeps the rounding errors of the terms: part of what they would give without cancelling.
    public const double RoundingOfTerms = 1e-6;

    /// <summary>Runs a network of one layer, which <paramref name="add"/> appends to its input.</summary>
    public static void Run(GoldenCase c, Func<Sequential, GoldenCase, Sequential> add)
    {
        GoldenTensor input = c.Tensor("input");
        int count = input.Shape[0];
        using Model model = add(Input(input), c).Build(device: c.Device);
        Assert.Equal(c.Tensor("output").Shape[1..], model.OutputShape.Select(dimension => (int)dimension));
        foreach (ParameterInfo parameter in model.Parameters)
        {
            GoldenTensor values = c.Tensor(Suffix(parameter));
            Assert.Equal(values.Shape, parameter.Shape.Select(dimension => (int)dimension));
            model.SetParameter(parameter.Name, values.Values);
        }

        var terms = new Terms(c);
        NormWise.AssertClose("output", c["output"], model.ForwardAll(input.Values), Tolerance, RoundingOfTerms * terms.Output);

        using Trainer trainer = model.CreateTrainer(new Sgd(0), count, Loss.OutputGradient(), inputGradient: true);
        double product = trainer.Accumulate(input.Values, c["grad_output"]).Loss;
        double expected = c["output"].Zip(c["grad_output"], (value, gradient) => (double)value * gradient).Sum();
        Assert.Equal(expected, product, (Tolerance * NormWise.Norm(c["output"]) + RoundingOfTerms * terms.Output) * NormWise.Norm(c["grad_output"]));

        float[] gradient = new float[input.Values.Length];
        trainer.GetInputGradient(gradient);
        NormWise.AssertClose("grad_input", c["grad_input"], gradient, Tolerance, RoundingOfTerms * terms.GradInput);
        foreach (ParameterInfo parameter in model.Parameters)
        {
            string name = Suffix(parameter);
            NormWise.AssertClose(
                $"grad_{name}",
                c[$"grad_{name}"],
                model.GetGradient(parameter.Name),
                Tolerance,
                RoundingOfTerms * (name == "bias" ? terms.GradBias : terms.GradWeight));
        }
    }

    /// <summary>A network that takes N×C×H×W images, N×C×L sequences, or N×F features.</summary>
    public static Sequential Input(GoldenTensor input) => input.Shape switch
    {
        [_, int channels, int height, int width] => Sequential.Input(channels, height, width),
        [_, int channels, int length] => Sequential.Input(channels, length),
        [_, int features] => Sequential.Input(1, 1, features).Flatten(),
        _ => throw new InvalidDataException($"There is no layer for an input of {input.Shape.Length} dimensions."),
    };

    private static string Suffix(ParameterInfo parameter) => parameter.Name[(parameter.Name.LastIndexOf('.') + 1)..];

    /// <summary>
    /// The norms that the results would have if the terms of their sums were of random sign, for layers with weights;
    /// 0 for others, whose sums are short.
    /// </summary>
    private readonly struct Terms
    {
        public Terms(GoldenCase c)
        {
            if (!c.Has("weight"))
            {
                return;
            }

            (float[] input, GoldenTensor weight, float[] diff) = (c["input"], c.Tensor("weight"), c["grad_output"]);
            GradBias = NormWise.Norm(diff);
            if (c.Op.Contains("norm", StringComparison.Ordinal))
            {
                // Normalised values are of size 1.
                GradWeight = GradBias;
                return;
            }

            double inputRms = NormWise.Norm(input) / Math.Sqrt(input.Length);
            double weightRms = NormWise.Norm(weight.Values) / Math.Sqrt(weight.Values.Length);
            double fanIn = weight.Values.Length / (double)weight.Shape[0];
            Output = inputRms * weightRms * Math.Sqrt(fanIn * diff.Length);
            GradInput = NormWise.Norm(diff) * weightRms * Math.Sqrt(fanIn);
            GradWeight = NormWise.Norm(diff) * inputRms * Math.Sqrt(fanIn);
        }

        public double Output { get; }

        public double GradInput { get; }

        public double GradWeight { get; }

        public double GradBias { get; }
    }
}
