using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace MnistNative.Peers;

/// <summary>The networks of the comparison in TorchSharp, layer for layer those of MnistNative.Models.</summary>
internal static class TorchNetworks
{
    private static readonly (int Channels, int Stride)[] s_mobileNet =
    [
        (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
        (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
    ];

    // Output channels of VGG-16's convolutions; 0 is a pooling.
    private static readonly int[] s_vgg = [64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0];

    public static string[] Names => ["seed", "tower", "simplecnn", "resnet18", "vgg16", "mobilenetv1"];

    public static long[] InputShape(string network) =>
        network is "seed" or "tower" or "simplecnn" ? [1, 28, 28] : [3, 224, 224];

    public static Module<Tensor, Tensor> Create(string network) => network switch
    {
        "seed" => Sequential(
            Conv2d(1, 32, 3, padding: 1), ReLU(), MaxPool2d(2),
            Conv2d(32, 64, 3, padding: 1), ReLU(), MaxPool2d(2),
            Flatten(), Linear(3136, 128), ReLU(), Linear(128, 10)),
        "tower" => Sequential(
            Conv2d(1, 32, 3, padding: 1), ReLU(), MaxPool2d(2),
            Conv2d(32, 32, 3, padding: 1), ReLU(), MaxPool2d(2),
            Flatten(), Linear(1568, 10)),
        "simplecnn" => Sequential(
            Conv2d(1, 16, 3, padding: 1), BatchNorm2d(16), ReLU(), MaxPool2d(2),
            Conv2d(16, 32, 3, padding: 1), BatchNorm2d(32), ReLU(), MaxPool2d(2),
            Flatten(), Dropout(0.5), Linear(1568, 10)),
        "resnet18" => ResNet18(),
        "vgg16" => Vgg16(),
        "mobilenetv1" => MobileNetV1(),
        _ => throw new ArgumentOutOfRangeException(nameof(network), network, "There is no such network."),
    };

    private static TorchSharp.Modules.Sequential ResNet18()
    {
        List<Module<Tensor, Tensor>> layers = [.. Unit(3, 64, kernel: 7, stride: 2), MaxPool2d(3, 2, 1)];
        int inputs = 64;
        foreach (int channels in (int[])[64, 128, 256, 512])
        {
            layers.Add(new BasicBlock(inputs, channels));
            layers.Add(new BasicBlock(channels, channels));
            inputs = channels;
        }

        layers.AddRange([AdaptiveAvgPool2d(1), Flatten(), Linear(512, 1000)]);
        return Sequential([.. layers]);
    }

    private static TorchSharp.Modules.Sequential Vgg16()
    {
        List<Module<Tensor, Tensor>> layers = [];
        int inputs = 3;
        foreach (int channels in s_vgg)
        {
            if (channels == 0)
            {
                layers.Add(MaxPool2d(2));
                continue;
            }

            layers.AddRange([Conv2d(inputs, channels, 3, padding: 1), ReLU()]);
            inputs = channels;
        }

        layers.AddRange(
        [
            Flatten(), Linear(25088, 4096), ReLU(), Dropout(), Linear(4096, 4096), ReLU(), Dropout(), Linear(4096, 1000),
        ]);
        return Sequential([.. layers]);
    }

    private static TorchSharp.Modules.Sequential MobileNetV1()
    {
        List<Module<Tensor, Tensor>> layers = [.. Unit(3, 32, kernel: 3, stride: 2)];
        int inputs = 32;
        foreach ((int channels, int stride) in s_mobileNet)
        {
            layers.AddRange(Unit(inputs, inputs, kernel: 3, stride, groups: inputs));
            layers.AddRange(Unit(inputs, channels, kernel: 1, stride: 1));
            inputs = channels;
        }

        layers.AddRange([AdaptiveAvgPool2d(1), Flatten(), Linear(1024, 1000)]);
        return Sequential([.. layers]);
    }

    private static Module<Tensor, Tensor>[] Unit(int inputs, int outputs, int kernel, int stride, int groups = 1) =>
    [
        Conv2d(inputs, outputs, kernel, stride: stride, padding: kernel / 2, groups: groups, bias: false),
        BatchNorm2d(outputs),
        ReLU(),
    ];

    private sealed class BasicBlock : Module<Tensor, Tensor>
    {
        private readonly Module<Tensor, Tensor> _body;
        private readonly Module<Tensor, Tensor>? _shortcut;

        public BasicBlock(int inputs, int outputs)
            : base(nameof(BasicBlock))
        {
            int stride = inputs == outputs ? 1 : 2;
            _body = Sequential(
            [
                .. Unit(inputs, outputs, kernel: 3, stride),
                Conv2d(outputs, outputs, 3, padding: 1, bias: false),
                BatchNorm2d(outputs),
            ]);
            if (stride != 1)
            {
                _shortcut = Sequential(Conv2d(inputs, outputs, 1, stride: stride, bias: false), BatchNorm2d(outputs));
            }

            RegisterComponents();
        }

        public override Tensor forward(Tensor input) =>
            functional.relu(_body.forward(input) + (_shortcut?.forward(input) ?? input));
    }
}
