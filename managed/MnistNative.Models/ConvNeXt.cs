namespace MnistNative.Models;

/// <summary>ConvNeXt (Liu and others, 2022, "A ConvNet for the 2020s").</summary>
public static class ConvNeXtNetworks
{
    private const float Epsilon = 1e-6f;
    private const float InitialScale = 1e-6f;
    private const float LastDropProbability = 0.1f;

    private static readonly (int Channels, int Blocks)[] s_tiny = [(96, 3), (192, 3), (384, 9), (768, 3)];

    /// <summary>torchvision's <c>convnext_tiny</c>: 28,589,128 parameters at 1000 classes. Images of at least 32×32.</summary>
    /// <param name="input">The beginning: an input of C×H×W images, normalised or not.</param>
    /// <param name="classes">Number of classes.</param>
    /// <returns>The whole network.</returns>
    public static Sequential ConvNeXtTiny(this Sequential input, int classes = 1000) => input
        .Block("features", Features)
        .GlobalAvgPool2d(name: "avgpool")
        .Block("classifier", c => c.LayerNorm(Epsilon, channelsOnly: true).Flatten().Linear(classes));

    private static Sequential Features(Sequential network)
    {
        int last = s_tiny.Sum(stage => stage.Blocks) - 1;
        int index = 0;
        foreach ((int channels, int blocks) in s_tiny)
        {
            network = network
                .Block(d => index == 0
                    ? d.Conv2d(channels, kernel: 4, stride: 4).LayerNorm(Epsilon, channelsOnly: true)
                    : d.LayerNorm(Epsilon, channelsOnly: true).Conv2d(channels, kernel: 2, stride: 2))
                .Block(s => Enumerable.Range(0, blocks).Aggregate(s, (stage, _) => stage
                    .Block(b => b.Unit(channels, LastDropProbability * index++ / last))));
        }

        return network;
    }

    // torchvision permutes between the layers, which counts there: hence the names.
    private static Sequential Unit(this Sequential network, int channels, float dropProbability) => network
        .Residual(r => r
            .Block("block", b => b
                .Conv2d(channels, kernel: 7, padding: 3, groups: channels, name: "0")
                .LayerNorm(Epsilon, channelsOnly: true, name: "2")
                .PixelLinear(4 * channels, name: "3").GELU(name: "4")
                .PixelLinear(channels, name: "5"))
            .Scale(InitialScale, parameterName: "layer_scale")
            .StochasticDepth(dropProbability, name: "stochastic_depth"));
}
