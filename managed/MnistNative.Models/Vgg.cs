namespace MnistNative.Models;

/// <summary>VGG (Simonyan and Zisserman, 2014, "Very Deep Convolutional Networks for Large-Scale Image Recognition").</summary>
public static class VggNetworks
{
    private static readonly int[][] s_vgg16 = [[64, 64], [128, 128], [256, 256, 256], [512, 512, 512], [512, 512, 512]];

    /// <summary>torchvision's <c>vgg16</c>: 138,357,544 parameters at 1000 classes. Images of at least 32×32.</summary>
    /// <param name="input">The beginning: an input of C×H×W images, normalised or not.</param>
    /// <param name="classes">Number of classes.</param>
    /// <returns>The whole network.</returns>
    public static Sequential Vgg16(this Sequential input, int classes = 1000) => input
        .Block("features", f => s_vgg16.Aggregate(f, (network, channels) => network.Stage(channels)))
        .AdaptiveAvgPool2d(7, name: "avgpool")
        .Flatten()
        .Block("classifier", c => c
            .Linear(4096).ReLU().Dropout()
            .Linear(4096).ReLU().Dropout()
            .Linear(classes));

    private static Sequential Stage(this Sequential network, int[] channels) => channels
        .Aggregate(network, (stage, count) => stage.Conv2d(count, kernel: 3, padding: 1).ReLU())
        .MaxPool2d(2);
}
