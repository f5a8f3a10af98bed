namespace MnistNative.Models;

/// <summary>SqueezeNet (Iandola and others, 2016, "AlexNet-level accuracy with 50x fewer parameters").</summary>
public static class SqueezeNetNetwork
{
    /// <summary>torchvision's <c>squeezenet1_0</c>: 1,248,424 parameters at 1000 classes. Images of at least 21×21.</summary>
    /// <param name="input">The beginning: an input of C×H×W images, normalised or not.</param>
    /// <param name="classes">Number of classes.</param>
    /// <returns>The whole network.</returns>
    public static Sequential SqueezeNet(this Sequential input, int classes = 1000) => input
        .Block("features", f => f
            .Conv2d(96, kernel: 7, stride: 2).ReLU().MaxPool2d(3, stride: 2, ceilMode: true)
            .Fire(16, 64).Fire(16, 64).Fire(32, 128).MaxPool2d(3, stride: 2, ceilMode: true)
            .Fire(32, 128).Fire(48, 192).Fire(48, 192).Fire(64, 256).MaxPool2d(3, stride: 2, ceilMode: true)
            .Fire(64, 256))
        .Block("classifier", c => c.Dropout().Conv2d(classes, kernel: 1).ReLU().GlobalAvgPool2d())
        .Flatten();

    private static Sequential Fire(this Sequential network, int squeeze, int expand) => network
        .Block(f => f
            .Conv2d(squeeze, kernel: 1, name: "squeeze").ReLU(name: "squeeze_activation")
            .Concat(
                e => e.Conv2d(expand, kernel: 1, name: "expand1x1").ReLU(name: "expand1x1_activation"),
                e => e.Conv2d(expand, kernel: 3, padding: 1, name: "expand3x3").ReLU(name: "expand3x3_activation")));
}
