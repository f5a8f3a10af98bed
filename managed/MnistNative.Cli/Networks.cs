using MnistNative.Models;

namespace MnistNative.Cli;

/// <summary>The networks that commands know by name, written with the public API.</summary>
public static class Networks
{
    private const int DigitClasses = 10;
    private const int ImageNetClasses = 1000;

    private static readonly ImageShape s_digit = new(1, 28, 28);
    private static readonly ImageShape s_photo = new(3, 224, 224);

    // Builds the network for a number of classes; what train can train takes digits. Small and regularised networks
    // need one cycle to reach in five epochs what they can, and batch normalisation bears a high rate at its top.
    private sealed record Entry(
        ImageShape Shape, int Classes, Func<Sequential, int, Sequential> Append, string Schedule = "constant", float OneCycleFactor = 3);

    private static readonly Dictionary<string, Entry> s_networks = new()
    {
        ["seed"] = new(s_digit, DigitClasses, SmallNetworks.Seed),
        ["tower"] = new(s_digit, DigitClasses, SmallNetworks.Tower),
        ["lenet"] = new(s_digit, DigitClasses, SmallNetworks.LeNet, "one-cycle"),
        ["simplecnn"] = new(s_digit, DigitClasses, SmallNetworks.SimpleCnn, "one-cycle", OneCycleFactor: 10),
        ["alexnet"] = new(s_photo, ImageNetClasses, AlexNetNetwork.AlexNet),
        ["vgg16"] = new(s_photo, ImageNetClasses, VggNetworks.Vgg16),
        ["resnet18"] = new(s_photo, ImageNetClasses, ResNetNetworks.ResNet18),
        ["resnet50"] = new(s_photo, ImageNetClasses, ResNetNetworks.ResNet50),
        ["resnext50"] = new(s_photo, ImageNetClasses, ResNetNetworks.ResNeXt50),
        ["googlenet"] = new(s_photo, ImageNetClasses, (input, classes) => input.GoogLeNet(classes)),
        ["densenet121"] = new(s_photo, ImageNetClasses, DenseNetNetworks.DenseNet121),
        ["squeezenet"] = new(s_photo, ImageNetClasses, SqueezeNetNetwork.SqueezeNet),
        ["shufflenetv2"] = new(s_photo, ImageNetClasses, ShuffleNetNetworks.ShuffleNetV2),
        ["mobilenetv1"] = new(s_photo, ImageNetClasses, MobileNetNetworks.MobileNetV1),
        ["mobilenetv2"] = new(s_photo, ImageNetClasses, MobileNetNetworks.MobileNetV2),
        ["efficientnetb0"] = new(s_photo, ImageNetClasses, EfficientNetNetworks.EfficientNetB0),
        ["convnexttiny"] = new(s_photo, ImageNetClasses, ConvNeXtNetworks.ConvNeXtTiny),
    };

    // Other spellings, torchvision's among them.
    private static readonly Dictionary<string, string> s_aliases = new()
    {
        ["resnext50_32x4d"] = "resnext50",
        ["squeezenet1_0"] = "squeezenet",
        ["shufflenet_v2_x1_0"] = "shufflenetv2",
        ["mobilenet_v1"] = "mobilenetv1",
        ["mobilenet_v2"] = "mobilenetv2",
        ["efficientnet_b0"] = "efficientnetb0",
        ["convnext_tiny"] = "convnexttiny",
    };

    /// <summary>All names, in the order of the help text.</summary>
    public static string[] Names => [.. s_networks.Keys];

    /// <summary>Other spellings of some of them.</summary>
    public static string[] Aliases => [.. s_aliases.Keys];

    /// <summary>The names of networks for digits, which <c>train</c> takes.</summary>
    public static string[] DigitNames => [.. s_networks.Where(pair => pair.Value.Shape == s_digit).Select(pair => pair.Key)];

    /// <summary>Shape of the images that the named network is measured with.</summary>
    public static ImageShape InputShape(string name) => Find(name).Shape;

    /// <summary>The learning-rate schedule that the named network is trained with unless another is asked for.</summary>
    public static string Schedule(string name) => Find(name).Schedule;

    /// <summary>The highest rate of one cycle over a rate that a training can keep up, for the named network.</summary>
    public static float OneCycleFactor(string name) => Find(name).OneCycleFactor;

    /// <summary>Puts the named network behind a beginning: an input, normalised or not.</summary>
    public static Sequential Append(string name, Sequential input) => Find(name).Append(input, Find(name).Classes);

    private static Entry Find(string name) => s_networks[s_aliases.GetValueOrDefault(name, name)];
}
