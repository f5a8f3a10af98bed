namespace MnistNative.Models;

/// <summary>ShuffleNet v2 (Ma, Zhang, Zheng and Sun, 2018, "Practical Guidelines for Efficient CNN Architecture Design").</summary>
public static class ShuffleNetNetworks
{
    /// <summary>torchvision's <c>shufflenet_v2_x1_0</c>: 2,278,604 parameters at 1000 classes.</summary>
    /// <param name="input">The beginning: an input of C×H×W images, normalised or not.</param>
    /// <param name="classes">Number of classes.</param>
    /// <returns>The whole network.</returns>
    public static Sequential ShuffleNetV2(this Sequential input, int classes = 1000) => input
        .Block("conv1", c => c.Conv2d(24, kernel: 3, stride: 2, padding: 1, bias: false).BatchNorm2d().ReLU())
        .MaxPool2d(3, stride: 2, padding: 1, name: "maxpool")
        .Stage("stage2", inputs: 24, outputs: 116, units: 4)
        .Stage("stage3", inputs: 116, outputs: 232, units: 8)
        .Stage("stage4", inputs: 232, outputs: 464, units: 4)
        .Block("conv5", c => c.Conv2d(1024, kernel: 1, bias: false).BatchNorm2d().ReLU())
        .GlobalAvgPool2d()
        .Flatten()
        .Linear(classes, name: "fc");

    private static Sequential Stage(this Sequential network, string name, int inputs, int outputs, int units) => network
        .Block(name, s => Enumerable.Range(1, units - 1).Aggregate(s.Block(u => u.Down(inputs, outputs / 2)), (stage, _) => stage
            .Block(u => u.Split(x => x, x => x.Branch("branch2", outputs / 2, stride: 1)).ChannelShuffle(2))));

    private static Sequential Down(this Sequential network, int inputs, int channels) => network
        .Concat(
            x => x.Block("branch1", b => b
                .Conv2d(inputs, kernel: 3, stride: 2, padding: 1, groups: inputs, bias: false).BatchNorm2d()
                .Conv2d(channels, kernel: 1, bias: false).BatchNorm2d().ReLU()),
            x => x.Branch("branch2", channels, stride: 2))
        .ChannelShuffle(2);

    private static Sequential Branch(this Sequential network, string name, int channels, int stride) => network
        .Block(name, b => b
            .Conv2d(channels, kernel: 1, bias: false).BatchNorm2d().ReLU()
            .Conv2d(channels, kernel: 3, stride, padding: 1, groups: channels, bias: false).BatchNorm2d()
            .Conv2d(channels, kernel: 1, bias: false).BatchNorm2d().ReLU());
}
