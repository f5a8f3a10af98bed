namespace MnistNative.Models;

/// <summary>
/// MobileNet (Howard and others, 2017, "Efficient Convolutional Neural Networks for Mobile Vision Applications") and
/// MobileNet v2 (Sandler and others, 2018, "Inverted Residuals and Linear Bottlenecks").
/// </summary>
public static class MobileNetNetworks
{
    // Output channels and stride of each pair of a depthwise and a 1×1 convolution.
    private static readonly (int Channels, int Stride)[] s_pairs =
    [
        (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
        (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
    ];

    // Factor of the hidden channels, output channels, number of blocks, stride of the first.
    private static readonly (int Factor, int Channels, int Blocks, int Stride)[] s_stages =
    [
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ];

    /// <summary>MobileNet v1 of full width: 4,231,976 parameters at 1000 classes. torchvision has none.</summary>
    /// <param name="input">The beginning: an input of C×H×W images, normalised or not.</param>
    /// <param name="classes">Number of classes.</param>
    /// <returns>The whole network.</returns>
    public static Sequential MobileNetV1(this Sequential input, int classes = 1000)
    {
        return input.Block("features", Features).GlobalAvgPool2d().Flatten().Linear(classes, name: "classifier");

        Sequential Features(Sequential network)
        {
            network = network.Unit(32, kernel: 3, stride: 2, groups: 1, relu6: false);
            int inputs = 32;
            foreach ((int channels, int stride) in s_pairs)
            {
                network = network
                    .Unit(inputs, kernel: 3, stride, groups: inputs, relu6: false)
                    .Unit(channels, kernel: 1, stride: 1, groups: 1, relu6: false);
                inputs = channels;
            }

            return network;
        }
    }

    /// <summary>torchvision's <c>mobilenet_v2</c>: 3,504,872 parameters at 1000 classes.</summary>
    /// <param name="input">The beginning: an input of C×H×W images, normalised or not.</param>
    /// <param name="classes">Number of classes.</param>
    /// <returns>The whole network.</returns>
    public static Sequential MobileNetV2(this Sequential input, int classes = 1000)
    {
        return input
            .Block("features", Features)
            .GlobalAvgPool2d()
            .Flatten()
            .Block("classifier", c => c.Dropout(0.2f).Linear(classes));

        static Sequential Features(Sequential network)
        {
            network = network.Unit(32, kernel: 3, stride: 2);
            int inputs = 32;
            foreach ((int factor, int channels, int blocks, int stride) in s_stages)
            {
                for (int i = 0; i < blocks; i++)
                {
                    network = network.InvertedResidual(inputs, factor * inputs, channels, i == 0 ? stride : 1);
                    inputs = channels;
                }
            }

            return network.Unit(1280, kernel: 1);
        }
    }

    private static Sequential InvertedResidual(this Sequential network, int inputs, int hidden, int outputs, int stride)
    {
        return network.Block(b => stride == 1 && inputs == outputs ? b.Residual(Layers) : Layers(b));

        Sequential Layers(Sequential block) => block.Block("conv", c => (hidden == inputs ? c : c.Unit(hidden, kernel: 1))
            .Unit(hidden, kernel: 3, stride, groups: hidden)
            .Conv2d(outputs, kernel: 1, bias: false).BatchNorm2d());
    }

    private static Sequential Unit(
        this Sequential network, int channels, int kernel, int stride = 1, int groups = 1, bool relu6 = true) => network
        .Block(u => u.Conv2d(channels, kernel, stride, padding: kernel / 2, groups: groups, bias: false).BatchNorm2d()
            .Activation(relu6));

    private static Sequential Activation(this Sequential network, bool relu6) => relu6 ? network.ReLU6() : network.ReLU();
}
