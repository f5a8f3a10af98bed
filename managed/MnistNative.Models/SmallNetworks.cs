namespace MnistNative.Models;

/// <summary>Networks for 28×28 images of digits, which train in seconds.</summary>
public static class SmallNetworks
{
    /// <summary>LeNet-5 (LeCun, Bottou, Bengio and Haffner, 1998) with ReLU and max pooling, padded for 28×28 images.</summary>
    /// <param name="input">The beginning: an input of C×H×W images, normalised or not.</param>
    /// <param name="classes">Number of classes.</param>
    /// <returns>The whole network.</returns>
    public static Sequential LeNet(this Sequential input, int classes = 10) => input
        .Conv2d(6, kernel: 5, padding: 2).ReLU().MaxPool2d(2)
        .Conv2d(16, kernel: 5).ReLU().MaxPool2d(2)
        .Flatten()
        .Linear(120).ReLU()
        .Linear(84).ReLU()
        .Linear(classes);

    /// <summary>Two convolutions and two linear layers: 421,642 parameters at 10 classes and 1×28×28.</summary>
    /// <param name="input">The beginning: an input of C×H×W images, normalised or not.</param>
    /// <param name="classes">Number of classes.</param>
    /// <returns>The whole network.</returns>
    public static Sequential Seed(this Sequential input, int classes = 10) => input
        .Conv2d(32, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
        .Conv2d(64, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
        .Flatten()
        .Linear(128).ReLU()
        .Linear(classes);

    /// <summary>Two convolutions of 32 channels and one linear layer.</summary>
    /// <param name="input">The beginning: an input of C×H×W images, normalised or not.</param>
    /// <param name="classes">Number of classes.</param>
    /// <returns>The whole network.</returns>
    public static Sequential Tower(this Sequential input, int classes = 10) => input
        .Conv2d(32, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
        .Conv2d(32, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
        .Flatten()
        .Linear(classes);

    /// <summary>Two convolutions with batch normalisation, and dropout before the last layer.</summary>
    /// <param name="input">The beginning: an input of C×H×W images, normalised or not.</param>
    /// <param name="classes">Number of classes.</param>
    /// <returns>The whole network.</returns>
    public static Sequential SimpleCnn(this Sequential input, int classes = 10) => input
        .Conv2d(16, kernel: 3, padding: 1).BatchNorm2d().ReLU().MaxPool2d(2)
        .Conv2d(32, kernel: 3, padding: 1).BatchNorm2d().ReLU().MaxPool2d(2)
        .Flatten()
        .Dropout(0.5f)
        .Linear(classes);
}
