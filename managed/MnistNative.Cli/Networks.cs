namespace MnistNative.Cli;

/// <summary>The networks that commands know by name, written with the public API.</summary>
public static class Networks
{
    private const int Classes = 10;

    private static readonly Dictionary<string, Func<Sequential, Sequential>> s_networks = new()
    {
        ["seed"] = input => input
            .Conv2d(32, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
            .Conv2d(64, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
            .Flatten()
            .Linear(128).ReLU()
            .Linear(Classes),

        ["tower"] = input => input
            .Conv2d(32, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
            .Conv2d(32, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
            .Flatten()
            .Linear(Classes),

        // LeNet-5 (LeCun, Bottou, Bengio and Haffner, 1998) with ReLU and max pooling, padded for 28×28 images.
        ["lenet"] = input => input
            .Conv2d(6, kernel: 5, padding: 2).ReLU().MaxPool2d(2)
            .Conv2d(16, kernel: 5).ReLU().MaxPool2d(2)
            .Flatten()
            .Linear(120).ReLU()
            .Linear(84).ReLU()
            .Linear(Classes),
    };

    /// <summary>The names, in the order of the help text.</summary>
    public static string[] Names => [.. s_networks.Keys];

    /// <summary>Shape of the images that the networks take.</summary>
    public static ImageShape InputShape => new(1, 28, 28);

    /// <summary>Puts the named network behind a beginning: an input, normalised or not.</summary>
    public static Sequential Append(string name, Sequential input) => s_networks[name](input);
}
