namespace MnistNative.Tests.Golden;

/// <summary>How the cases of each op are tested: an op of the files that is missing here is skipped by name.</summary>
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
        ["adaptive_avg_pool2d"] = Layer((network, c) => c.Size("output_size") == 1
            ? network.GlobalAvgPool2d()
            : network.AdaptiveAvgPool2d(c.Size("output_size"))),
        ["batch_norm2d_train"] = Now(BatchNormCase.Train),
        ["batch_norm2d_eval"] = Now(BatchNormCase.Evaluate),
        ["group_norm"] = Layer((network, c) => network.GroupNorm(c.Int("groups"), c.Number("eps"))),
        ["layer_norm"] = Layer(LayerNorm),
        ["instance_norm2d"] = Layer((network, c) => network.InstanceNorm2d(c.Number("eps"), affine: c.Has("weight"))),
        ["relu"] = Layer((network, _) => network.ReLU()),
        ["relu6"] = Layer((network, _) => network.ReLU6()),
        ["leaky_relu"] = Layer((network, c) => network.LeakyReLU(c.Number("negative_slope"))),
        ["gelu"] = Layer((network, _) => network.GELU()),
        ["silu"] = Layer((network, _) => network.SiLU()),
        ["sigmoid"] = Layer((network, _) => network.Sigmoid()),
        ["tanh"] = Layer((network, _) => network.Tanh()),
        ["elu"] = Layer((network, c) => network.ELU(c.Number("alpha"))),
        ["hardswish"] = Layer((network, _) => network.Hardswish()),
        ["hardsigmoid"] = Layer((network, _) => network.Hardsigmoid()),
        ["softplus"] = Layer((network, _) => network.Softplus()),
        ["mish"] = Layer((network, _) => network.Mish()),
        ["hardtanh"] = Layer((network, c) => network.Hardtanh(c.Number("min_val"), c.Number("max_val"))),
        ["prelu"] = Layer((network, c) => network.PReLU(c.Int("num_parameters"))),
        ["softmax"] = Layer((network, c) => CheckedDimension(c, network).Softmax()),
        ["log_softmax"] = Layer((network, c) => CheckedDimension(c, network).LogSoftmax()),
        ["linear"] = Layer((network, c) => network.Linear(c.Tensor("weight").Shape[0], c.Bool("bias"))),
        ["cross_entropy"] = Now(LossCase.CrossEntropy),
        ["mse"] = Now(c => LossCase.Values(c, Loss.Mse)),
        ["bce_with_logits"] = Now(c => LossCase.Values(c, Loss.BceWithLogits)),
        ["adam"] = Now(c => OptimizerCase.Run(c, new Adam(
            c.Number("lr"), c.Number("beta1"), c.Number("beta2"), c.Number("eps"), c.Number("weight_decay")))),
        ["adamw"] = Now(c => OptimizerCase.Run(c, new AdamW(
            c.Number("lr"), c.Number("beta1"), c.Number("beta2"), c.Number("eps"), c.Number("weight_decay")))),
        ["rmsprop"] = Now(c => OptimizerCase.Run(c, new RmsProp(
            c.Number("lr"), c.Number("alpha"), c.Number("eps"), c.Number("momentum"), c.Number("weight_decay")))),
        ["sgd"] = Now(c => OptimizerCase.Run(c, new Sgd(
            c.Number("lr"), c.Number("momentum"), WeightDecay: c.Number("weight_decay"), Nesterov: c.Bool("nesterov")))),
        ["trajectory"] = TrajectoryCase.Run,
    };

    private static Sequential LayerNorm(Sequential network, GoldenCase c)
    {
        Assert.Equal(c.Tensor("input").Shape[1..], c.Numbers("normalized_shape").Select(dimension => (int)dimension));
        return network.LayerNorm(c.Number("eps"), affine: c.Has("weight"));
    }

    private static Sequential CheckedDimension(GoldenCase c, Sequential network)
    {
        Assert.Equal(1, c.Int("dim"));
        return network;
    }

    private static Func<GoldenCase, Task> Layer(Func<Sequential, GoldenCase, Sequential> add) => Now(c => LayerCase.Run(c, add));

    private static Func<GoldenCase, Task> Now(Action<GoldenCase> test) => c =>
    {
        test(c);
        return Task.CompletedTask;
    };
}
