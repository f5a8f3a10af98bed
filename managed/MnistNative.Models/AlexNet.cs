namespace MnistNative.Models;

/// <summary>AlexNet (Krizhevsky, 2014, "One weird trick for parallelizing convolutional neural networks").</summary>
public static class AlexNetNetwork
{
    /// <summary>torchvision's <c>alexnet</c>: 61,100,840 parameters at 1000 classes. Images of at least 63×63.</summary>
    /// <param name="input">The beginning: an input of C×H×W images, normalised or not.</param>
    /// <param name="classes">Number of classes.</param>
    /// <returns>The whole network.</returns>
    public static Sequential AlexNet(this Sequential input, int classes = 1000) => input
        .Block("features", f => f
            .Conv2d(64, kernel: 11, stride: 4, padding: 2).ReLU().MaxPool2d(3, stride: 2)
            .Conv2d(192, kernel: 5, padding: 2).ReLU().MaxPool2d(3, stride: 2)
            .Conv2d(384, kernel: 3, padding: 1).ReLU()
            .Conv2d(256, kernel: 3, padding: 1).ReLU()
            .Conv2d(256, kernel: 3, padding: 1).ReLU().MaxPool2d(3, stride: 2))
        .AdaptiveAvgPool2d(6, name: "avgpool")
        .Flatten()
        .Block("classifier", c => c
            .Dropout().Linear(4096).ReLU()
            .Dropout().Linear(4096).ReLU()
            .Linear(classes));
}
