namespace MnistNative.Tests.Golden;

/// <summary>How the cases of each op are tested. A new op is a line here.</summary>
internal static class GoldenOps
{
    public static IReadOnlyDictionary<string, Func<GoldenCase, Task>> Tests { get; } = new Dictionary<string, Func<GoldenCase, Task>>
    {
        ["conv2d"] = Layer((network, c) => network.Conv2d(
            c.Tensor("weight").Shape[0],
            (c.Tensor("weight").Shape[2], c.Tensor("weight").Shape[3]),
            c.Size("stride"),
            c.Size("padding"),
            c.Size("dilation"),
            c.Int("groups"),
            c.Bool("bias"))),
        ["max_pool2d"] = Layer((network, c) => network.MaxPool2d(
            c.Size("kernel"), c.Size("stride"), c.Size("padding"), c.Bool("ceil_mode"))),
        ["avg_pool2d"] = Layer((network, c) => network.AvgPool2d(
            c.Size("kernel"), c.Size("stride"), c.Size("padding"), c.Bool("ceil_mode"), c.Bool("count_include_pad"))),
        ["adaptive_avg_pool2d"] = Layer(AdaptiveAvgPool2d),
        ["relu"] = Layer((network, _) => network.ReLU()),
        ["softmax"] = Layer(Softmax),
        ["linear"] = Layer((network, c) => network.Linear(c.Tensor("weight").Shape[0], c.Bool("bias"))),
        ["cross_entropy"] = Now(LossCase.CrossEntropy),
        ["adam"] = Now(c => OptimizerCase.Run(c, new Adam(
            c.Number("lr"), c.Number("beta1"), c.Number("beta2"), c.Number("eps"), c.Number("weight_decay")))),
        ["sgd"] = Now(c => OptimizerCase.Run(c, new Sgd(
            c.Number("lr"), c.Number("momentum"), WeightDecay: c.Number("weight_decay"), Nesterov: c.Bool("nesterov")))),
        ["trajectory"] = TrajectoryCase.Run,
    };

    private static Sequential AdaptiveAvgPool2d(Sequential network, GoldenCase c)
    {
        if (c.Size("output_size") != 1)
        {
            c.SkipMissing($" with output_size {c.Size("output_size")}");
        }

        return network.GlobalAvgPool2d();
    }

    private static Sequential Softmax(Sequential network, GoldenCase c)
    {
        if (c.Int("dim") != 1 || c.Tensor("input").Shape.Length != 2)
        {
            c.SkipMissing($" over dimension {c.Int("dim")} of {c.Tensor("input").Shape.Length}");
        }

        return network.Softmax();
    }

    private static Func<GoldenCase, Task> Layer(Func<Sequential, GoldenCase, Sequential> add) => Now(c => LayerCase.Run(c, add));

    private static Func<GoldenCase, Task> Now(Action<GoldenCase> test) => c =>
    {
        test(c);
        return Task.CompletedTask;
    };
}
