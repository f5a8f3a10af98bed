namespace MnistNative.Models;

/// <summary>EfficientNet (Tan and Le, 2019, "Rethinking Model Scaling for Convolutional Neural Networks").</summary>
public static class EfficientNetNetworks
{
    private const float LastDropProbability = 0.2f;

    private static readonly Stage[] s_stages =
    [
        new(Factor: 1, Kernel: 3, Stride: 1, Channels: 16, Blocks: 1),
        new(Factor: 6, Kernel: 3, Stride: 2, Channels: 24, Blocks: 2),
        new(Factor: 6, Kernel: 5, Stride: 2, Channels: 40, Blocks: 2),
        new(Factor: 6, Kernel: 3, Stride: 2, Channels: 80, Blocks: 3),
        new(Factor: 6, Kernel: 5, Stride: 1, Channels: 112, Blocks: 3),
        new(Factor: 6, Kernel: 5, Stride: 2, Channels: 192, Blocks: 4),
        new(Factor: 6, Kernel: 3, Stride: 1, Channels: 320, Blocks: 1),
    ];

    private sealed record Stage(int Factor, int Kernel, int Stride, int Channels, int Blocks);

    /// <summary>torchvision's <c>efficientnet_b0</c>: 5,288,548 parameters at 1000 classes.</summary>
    /// <param name="input">The beginning: an input of C×H×W images, normalised or not.</param>
    /// <param name="classes">Number of classes.</param>
    /// <returns>The whole network.</returns>
    public static Sequential EfficientNetB0(this Sequential input, int classes = 1000) => input
        .Block("features", Features)
        .GlobalAvgPool2d(name: "avgpool")
        .Flatten()
        .Block("classifier", c => c.Dropout(0.2f).Linear(classes));

    private static Sequential Features(Sequential network)
    {
        network = network.Unit(32, kernel: 3, stride: 2);
        int inputs = 32;
        int total = s_stages.Sum(stage => stage.Blocks);
        int index = 0;
        foreach (Stage stage in s_stages)
        {
            network = network.Block(s =>
            {
                for (int i = 0; i < stage.Blocks; i++)
                {
                    s = s.MbConv(stage, inputs, i == 0 ? stage.Stride : 1, LastDropProbability * index++ / total);
                    inputs = stage.Channels;
                }

                return s;
            });
        }

        return network.Unit(1280, kernel: 1);
    }

    private static Sequential MbConv(this Sequential network, Stage stage, int inputs, int stride, float dropProbability)
    {
        int hidden = stage.Factor * inputs;
        return network.Block(b => stride == 1 && inputs == stage.Channels
            ? b.Residual(r => Layers(r).StochasticDepth(dropProbability, name: "stochastic_depth"))
            : Layers(b));

        Sequential Layers(Sequential block) => block.Block("block", m => (stage.Factor == 1 ? m : m.Unit(hidden, kernel: 1))
            .Unit(hidden, stage.Kernel, stride, groups: hidden)
            .Block(s => s.Multiply(g => g
                .GlobalAvgPool2d()
                .Conv2d(inputs / 4, kernel: 1, name: "fc1").SiLU()
                .Conv2d(hidden, kernel: 1, name: "fc2").Sigmoid()))
            .Block(p => p.Conv2d(stage.Channels, kernel: 1, bias: false).BatchNorm2d()));
    }

    private static Sequential Unit(this Sequential network, int channels, int kernel, int stride = 1, int groups = 1) => network
        .Block(u => u.Conv2d(channels, kernel, stride, padding: kernel / 2, groups: groups, bias: false).BatchNorm2d().SiLU());
}
