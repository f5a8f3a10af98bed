namespace MnistNative.Models;

/// <summary>
/// ResNet (He, Zhang, Ren and Sun, 2015, "Deep Residual Learning for Image Recognition") and ResNeXt (Xie, Girshick,
/// Dollár, Tu and He, 2016, "Aggregated Residual Transformations for Deep Neural Networks").
/// </summary>
public static class ResNetNetworks
{
    private const int Expansion = 4;

    /// <summary>torchvision's <c>resnet18</c>: 11,689,512 parameters at 1000 classes.</summary>
    /// <param name="input">The beginning: an input of C×H×W images, normalised or not.</param>
    /// <param name="classes">Number of classes.</param>
    /// <returns>The whole network.</returns>
    public static Sequential ResNet18(this Sequential input, int classes = 1000) =>
        input.ResNet([2, 2, 2, 2], classes, (network, channels, stride, project) => network.Basic(channels, stride, project));

    /// <summary>torchvision's <c>resnet50</c>: 25,557,032 parameters at 1000 classes.</summary>
    /// <param name="input">The beginning: an input of C×H×W images, normalised or not.</param>
    /// <param name="classes">Number of classes.</param>
    /// <returns>The whole network.</returns>
    public static Sequential ResNet50(this Sequential input, int classes = 1000) => input.ResNet(
        [3, 4, 6, 3],
        classes,
        (network, channels, stride, project) => network.Bottleneck(channels, channels, groups: 1, stride, project),
        projectFirst: true);

    /// <summary>torchvision's <c>resnext50_32x4d</c>: 25,028,904 parameters at 1000 classes.</summary>
    /// <param name="input">The beginning: an input of C×H×W images, normalised or not.</param>
    /// <param name="classes">Number of classes.</param>
    /// <returns>The whole network.</returns>
    public static Sequential ResNeXt50(this Sequential input, int classes = 1000) => input.ResNet(
        [3, 4, 6, 3],
        classes,
        (network, channels, stride, project) => network.Bottleneck(channels, 2 * channels, groups: 32, stride, project),
        projectFirst: true);

    private static Sequential ResNet(
        this Sequential input,
        int[] blocks,
        int classes,
        Func<Sequential, int, int, bool, Sequential> block,
        bool projectFirst = false)
    {
        Sequential network = input
            .Conv2d(64, kernel: 7, stride: 2, padding: 3, bias: false, name: "conv1").BatchNorm2d(name: "bn1").ReLU(name: "relu")
            .MaxPool2d(3, stride: 2, padding: 1, name: "maxpool");
        for (int i = 0; i < blocks.Length; i++)
        {
            int channels = 64 << i;
            int stride = i == 0 ? 1 : 2;
            network = network.Block($"layer{i + 1}", layer => Enumerable.Range(0, blocks[i]).Aggregate(layer, (part, k) => part
                .Block(b => block(b, channels, k == 0 ? stride : 1, k == 0 && (i > 0 || projectFirst)))));
        }

        return network.GlobalAvgPool2d(name: "avgpool").Flatten().Linear(classes, name: "fc");
    }

    private static Sequential Basic(this Sequential network, int channels, int stride, bool project) => network
        .Residual(
            b => b
                .Conv2d(channels, kernel: 3, stride, padding: 1, bias: false, name: "conv1").BatchNorm2d(name: "bn1").ReLU()
                .Conv2d(channels, kernel: 3, padding: 1, bias: false, name: "conv2").BatchNorm2d(name: "bn2"),
            project ? Projection(channels, stride) : null)
        .ReLU();

    private static Sequential Bottleneck(
        this Sequential network, int channels, int width, int groups, int stride, bool project) => network
        .Residual(
            b => b
                .Conv2d(width, kernel: 1, bias: false, name: "conv1").BatchNorm2d(name: "bn1").ReLU()
                .Conv2d(width, kernel: 3, stride, padding: 1, groups: groups, bias: false, name: "conv2").BatchNorm2d(name: "bn2").ReLU()
                .Conv2d(Expansion * channels, kernel: 1, bias: false, name: "conv3").BatchNorm2d(name: "bn3"),
            project ? Projection(Expansion * channels, stride) : null)
        .ReLU();

    private static Func<Sequential, Sequential> Projection(int channels, int stride) => shortcut => shortcut
        .Block("downsample", d => d.Conv2d(channels, kernel: 1, stride, bias: false).BatchNorm2d());
}
