namespace MnistNative.Models;

/// <summary>DenseNet (Huang, Liu, van der Maaten and Weinberger, 2016, "Densely Connected Convolutional Networks").</summary>
public static class DenseNetNetworks
{
    private const int Growth = 32;
    private const int BottleneckFactor = 4;

    /// <summary>torchvision's <c>densenet121</c>: 7,978,856 parameters at 1000 classes.</summary>
    /// <param name="input">The beginning: an input of C×H×W images, normalised or not.</param>
    /// <param name="classes">Number of classes.</param>
    /// <returns>The whole network.</returns>
    public static Sequential DenseNet121(this Sequential input, int classes = 1000) => input
        .Block("features", f => f
            .Conv2d(64, kernel: 7, stride: 2, padding: 3, bias: false, name: "conv0").BatchNorm2d(name: "norm0").ReLU(name: "relu0")
            .MaxPool2d(3, stride: 2, padding: 1, name: "pool0")
            .Dense("denseblock1", layers: 6).Transition("transition1", channels: 128)
            .Dense("denseblock2", layers: 12).Transition("transition2", channels: 256)
            .Dense("denseblock3", layers: 24).Transition("transition3", channels: 512)
            .Dense("denseblock4", layers: 16)
            .BatchNorm2d(name: "norm5"))
        .ReLU()
        .GlobalAvgPool2d()
        .Flatten()
        .Linear(classes, name: "classifier");

    // Each layer adds its channels to all that came before.
    private static Sequential Dense(this Sequential network, string name, int layers) => network
        .Block(name, d => Enumerable.Range(1, layers).Aggregate(d, (block, i) => block.Concat(
            all => all,
            all => all.Block($"denselayer{i}", l => l
                .BatchNorm2d(name: "norm1").ReLU(name: "relu1")
                .Conv2d(BottleneckFactor * Growth, kernel: 1, bias: false, name: "conv1")
                .BatchNorm2d(name: "norm2").ReLU(name: "relu2")
                .Conv2d(Growth, kernel: 3, padding: 1, bias: false, name: "conv2")))));

    private static Sequential Transition(this Sequential network, string name, int channels) => network
        .Block(name, t => t
            .BatchNorm2d(name: "norm").ReLU(name: "relu")
            .Conv2d(channels, kernel: 1, bias: false, name: "conv").AvgPool2d(2, name: "pool"));
}
