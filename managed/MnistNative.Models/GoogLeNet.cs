namespace MnistNative.Models;

/// <summary>GoogLeNet (Szegedy and others, 2014, "Going Deeper with Convolutions"), with batch normalisation.</summary>
public static class GoogLeNetNetwork
{
    private const float AuxiliaryWeight = 0.3f;

    /// <summary>
    /// torchvision's <c>googlenet</c>: 6,624,904 parameters at 1000 classes without auxiliary heads, 13,004,888 with them.
    /// </summary>
    /// <param name="input">The beginning: an input of C×H×W images, normalised or not.</param>
    /// <param name="classes">Number of classes.</param>
    /// <param name="auxiliary">Whether two more heads train the middle of the network.</param>
    /// <returns>The whole network.</returns>
    public static Sequential GoogLeNet(this Sequential input, int classes = 1000, bool auxiliary = false)
    {
        return input
            .Unit("conv1", 64, kernel: 7, stride: 2, padding: 3).MaxPool2d(3, stride: 2, ceilMode: true)
            .Unit("conv2", 64).Unit("conv3", 192, kernel: 3, padding: 1).MaxPool2d(3, stride: 2, ceilMode: true)
            .Inception("inception3a", 64, (96, 128), (16, 32), 32)
            .Inception("inception3b", 128, (128, 192), (32, 96), 64).MaxPool2d(3, stride: 2, ceilMode: true)
            .Inception("inception4a", 192, (96, 208), (16, 48), 64).With(Auxiliary("aux1"))
            .Inception("inception4b", 160, (112, 224), (24, 64), 64)
            .Inception("inception4c", 128, (128, 256), (24, 64), 64)
            .Inception("inception4d", 112, (144, 288), (32, 64), 64).With(Auxiliary("aux2"))
            .Inception("inception4e", 256, (160, 320), (32, 128), 128).MaxPool2d(2, ceilMode: true)
            .Inception("inception5a", 256, (160, 320), (32, 128), 128)
            .Inception("inception5b", 384, (192, 384), (48, 128), 128)
            .GlobalAvgPool2d().Flatten().Dropout(0.2f).Linear(classes, name: "fc");

        Func<Sequential, Sequential> Auxiliary(string name) => network => !auxiliary ? network : network
            .Head(name, AuxiliaryWeight, h => h
                .AdaptiveAvgPool2d(4).Unit("conv", 128).Flatten()
                .Linear(1024, name: "fc1").ReLU().Dropout(0.7f)
                .Linear(classes, name: "fc2"));
    }

    // torchvision's branch of 5×5 convolutions has kernels of 3×3.
    private static Sequential Inception(
        this Sequential network, string name, int one, (int Reduce, int Out) three, (int Reduce, int Out) five, int pool) => network
        .Block(name, i => i.Concat(
            b => b.Unit("branch1", one),
            b => b.Block("branch2", c => c.Unit(null, three.Reduce).Unit(null, three.Out, kernel: 3, padding: 1)),
            b => b.Block("branch3", c => c.Unit(null, five.Reduce).Unit(null, five.Out, kernel: 3, padding: 1)),
            b => b.Block("branch4", c => c.MaxPool2d(3, stride: 1, padding: 1, ceilMode: true).Unit(null, pool))));

    private static Sequential Unit(
        this Sequential network, string? name, int channels, int kernel = 1, int stride = 1, int padding = 0)
    {
        return name is null ? network.Block(Layers) : network.Block(name, Layers);

        Sequential Layers(Sequential unit) => unit
            .Conv2d(channels, kernel, stride, padding, bias: false, name: "conv").BatchNorm2d(epsilon: 1e-3f, name: "bn").ReLU();
    }

    private static Sequential With(this Sequential network, Func<Sequential, Sequential> add) => add(network);
}
