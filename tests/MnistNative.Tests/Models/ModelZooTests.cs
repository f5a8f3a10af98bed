using MnistNative.IO;
using MnistNative.Models;

namespace MnistNative.Tests.Models;

/// <summary>The networks of MnistNative.Models against torchvision's numbers, names and shapes.</summary>
public sealed class ModelZooTests
{
    private static readonly ImageShape s_photo = new(3, 224, 224);

    /// <summary>
    /// A network: its parameters at 1000 classes, entries of torchvision's state dict, and some of its names with shapes.
    /// </summary>
    private sealed record Entry(Func<Sequential, int, Sequential> Append, long Parameters, int Tensors, int SmallSize, params string[] Names);

    private static readonly Dictionary<string, Entry> s_networks = new()
    {
        ["alexnet"] = new(
            AlexNetNetwork.AlexNet, 61_100_840, 16, 63,
            "features.0.weight 64×3×11×11", "features.3.weight 192×64×5×5", "features.6.bias 384", "features.8.weight 256×384×3×3",
            "features.10.weight 256×256×3×3", "classifier.1.weight 4096×9216", "classifier.4.bias 4096", "classifier.6.weight 1000×4096"),
        ["vgg16"] = new(
            VggNetworks.Vgg16, 138_357_544, 32, 32,
            "features.0.weight 64×3×3×3", "features.7.bias 128", "features.14.weight 256×256×3×3", "features.28.weight 512×512×3×3",
            "classifier.0.weight 4096×25088", "classifier.3.bias 4096", "classifier.6.weight 1000×4096"),
        ["resnet18"] = new(
            ResNetNetworks.ResNet18, 11_689_512, 122, 32,
            "conv1.weight 64×3×7×7", "bn1.weight 64", "bn1.running_mean 64", "bn1.num_batches_tracked scalar",
            "layer1.0.conv1.weight 64×64×3×3", "layer1.1.bn2.bias 64", "layer2.0.conv1.weight 128×64×3×3",
            "layer2.0.downsample.0.weight 128×64×1×1", "layer2.0.downsample.1.running_var 128", "layer4.1.conv2.weight 512×512×3×3",
            "fc.weight 1000×512", "fc.bias 1000"),
        ["resnet50"] = new(
            ResNetNetworks.ResNet50, 25_557_032, 320, 32,
            "conv1.weight 64×3×7×7", "layer1.0.conv1.weight 64×64×1×1", "layer1.0.conv3.weight 256×64×1×1",
            "layer1.0.downsample.0.weight 256×64×1×1", "layer1.2.bn3.weight 256", "layer3.5.conv2.weight 256×256×3×3",
            "layer4.0.downsample.1.bias 2048", "fc.weight 1000×2048"),
        ["resnext50"] = new(
            ResNetNetworks.ResNeXt50, 25_028_904, 320, 32,
            "layer1.0.conv1.weight 128×64×1×1", "layer1.0.conv2.weight 128×4×3×3", "layer1.0.conv3.weight 256×128×1×1",
            "layer4.2.conv2.weight 1024×32×3×3", "layer4.0.downsample.0.weight 2048×1024×1×1", "fc.bias 1000"),
        ["googlenet"] = new(
            (input, classes) => input.GoogLeNet(classes), 6_624_904, 344, 32,
            "conv1.conv.weight 64×3×7×7", "conv1.bn.running_var 64", "conv3.conv.weight 192×64×3×3",
            "inception3a.branch1.conv.weight 64×192×1×1", "inception3a.branch2.0.conv.weight 96×192×1×1",
            "inception3a.branch2.1.conv.weight 128×96×3×3", "inception3a.branch3.1.conv.weight 32×16×3×3",
            "inception3a.branch4.1.bn.bias 32", "inception5b.branch2.1.conv.weight 384×192×3×3", "fc.weight 1000×1024"),
        ["googlenet with heads"] = new(
            (input, classes) => input.GoogLeNet(classes, auxiliary: true), 13_004_888, 364, 32,
            "aux1.conv.conv.weight 128×512×1×1", "aux1.conv.bn.weight 128", "aux1.fc1.weight 1024×2048", "aux2.conv.conv.weight 128×528×1×1",
            "aux2.fc2.weight 1000×1024", "fc.bias 1000"),
        ["densenet121"] = new(
            DenseNetNetworks.DenseNet121, 7_978_856, 727, 32,
            "features.conv0.weight 64×3×7×7", "features.norm0.weight 64", "features.denseblock1.denselayer1.norm1.weight 64",
            "features.denseblock1.denselayer1.conv1.weight 128×64×1×1", "features.denseblock1.denselayer6.conv2.weight 32×128×3×3",
            "features.transition1.norm.running_mean 256", "features.transition1.conv.weight 128×256×1×1",
            "features.denseblock4.denselayer16.norm1.bias 992", "features.norm5.weight 1024", "classifier.weight 1000×1024"),
        ["squeezenet"] = new(
            SqueezeNetNetwork.SqueezeNet, 1_248_424, 52, 32,
            "features.0.weight 96×3×7×7", "features.3.squeeze.weight 16×96×1×1", "features.3.expand1x1.weight 64×16×1×1",
            "features.3.expand3x3.weight 64×16×3×3", "features.12.expand3x3.bias 256", "classifier.1.weight 1000×512×1×1"),
        ["shufflenetv2"] = new(
            ShuffleNetNetworks.ShuffleNetV2, 2_278_604, 338, 32,
            "conv1.0.weight 24×3×3×3", "conv1.1.running_mean 24", "stage2.0.branch1.0.weight 24×1×3×3", "stage2.0.branch1.2.weight 58×24×1×1",
            "stage2.0.branch2.0.weight 58×24×1×1", "stage2.1.branch2.3.weight 58×1×3×3", "stage3.7.branch2.5.weight 116×116×1×1",
            "stage4.3.branch2.6.bias 232", "conv5.0.weight 1024×464×1×1", "fc.weight 1000×1024"),
        ["mobilenetv1"] = new(
            MobileNetNetworks.MobileNetV1, 4_231_976, 164, 32,
            "features.0.0.weight 32×3×3×3", "features.1.0.weight 32×1×3×3", "features.2.0.weight 64×32×1×1", "classifier.weight 1000×1024"),
        ["mobilenetv2"] = new(
            MobileNetNetworks.MobileNetV2, 3_504_872, 314, 32,
            "features.0.0.weight 32×3×3×3", "features.0.1.weight 32", "features.1.conv.0.0.weight 32×1×3×3", "features.1.conv.1.weight 16×32×1×1",
            "features.1.conv.2.running_var 16", "features.2.conv.0.0.weight 96×16×1×1", "features.2.conv.1.0.weight 96×1×3×3",
            "features.2.conv.2.weight 24×96×1×1", "features.2.conv.3.bias 24", "features.18.0.weight 1280×320×1×1", "classifier.1.weight 1000×1280"),
        ["efficientnetb0"] = new(
            EfficientNetNetworks.EfficientNetB0, 5_288_548, 360, 32,
            "features.0.0.weight 32×3×3×3", "features.1.0.block.0.0.weight 32×1×3×3", "features.1.0.block.1.fc1.weight 8×32×1×1",
            "features.1.0.block.1.fc2.bias 32", "features.1.0.block.2.0.weight 16×32×1×1", "features.2.0.block.0.0.weight 96×16×1×1",
            "features.2.0.block.2.fc1.weight 4×96×1×1", "features.2.0.block.3.1.running_mean 24", "features.3.1.block.1.0.weight 240×1×5×5",
            "features.8.0.weight 1280×320×1×1", "features.8.1.bias 1280", "classifier.1.weight 1000×1280"),
        ["convnexttiny"] = new(
            ConvNeXtNetworks.ConvNeXtTiny, 28_589_128, 182, 32,
            "features.0.0.weight 96×3×4×4", "features.0.1.weight 96", "features.1.0.layer_scale 96×1×1", "features.1.0.block.0.weight 96×1×7×7",
            "features.1.0.block.2.weight 96", "features.1.0.block.3.weight 384×96", "features.1.0.block.5.weight 96×384", "features.2.0.bias 96",
            "features.2.1.weight 192×96×2×2", "features.5.8.block.3.bias 1536", "features.7.2.layer_scale 768×1×1", "classifier.0.weight 768",
            "classifier.2.weight 1000×768"),
    };

    /// <summary>The networks' names.</summary>
    public static TheoryData<string> Names => [.. s_networks.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void ParametersAreCountedExactly(string name)
    {
        Entry entry = s_networks[name];
        Sequential network = entry.Append(Sequential.Input(s_photo), 1000);
        ModelSummary summary = network.Summary();
        Assert.Equal(entry.Parameters, summary.ParameterCount);
        Assert.Equal([1000], summary.Layers[^1].OutputShape);

        string text = ArchitectureFormat.Write(network);
        Assert.Equal(summary.ToString(), ArchitectureFormat.Read(text).Summary().ToString());
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void NamesAndShapesAreThoseOfTorchvision(string name)
    {
        Entry entry = s_networks[name];
        using Model model = entry.Append(Sequential.Input(3, entry.SmallSize, entry.SmallSize), 1000).Build();
        string[] parameters = [.. model.Parameters.Select(parameter => parameter.ToString())];
        Assert.All(entry.Names, expected => Assert.Contains(expected, parameters));
        Assert.Equal(entry.Tensors, parameters.Length);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void AStepOfTrainingAndARunOfInference(string name)
    {
        const int batch = 2;
        const int classes = 5;
        Entry entry = s_networks[name];
        using Model model = entry.Append(Sequential.Input(3, entry.SmallSize, entry.SmallSize), classes).Build(seed: 1);
        float[] images = new float[batch * model.InputShape.Length];
        var random = new Random(1);
        for (int i = 0; i < images.Length; i++)
        {
            images[i] = random.NextSingle();
        }

        // Where only one pixel is left, a batch of two amplifies gradients beyond all use: the run of inference comes first.
        float[] scores = model.ForwardAll(images);
        Assert.Equal(batch * classes, scores.Length);
        Assert.All(scores, score => Assert.True(float.IsFinite(score)));

        using Trainer trainer = model.CreateTrainer(new Sgd(1e-3f), batch);
        Assert.True(double.IsFinite(trainer.Step(images, [1, 3]).Loss));
        foreach (ParameterInfo parameter in model.Parameters.Where(parameter => parameter.IsTrainable))
        {
            Assert.True(Array.TrueForAll(model.GetGradient(parameter.Name), float.IsFinite), parameter.Name);
        }

        string last = model.Parameters.Last(parameter => parameter.Name.EndsWith("bias", StringComparison.Ordinal)).Name;
        Assert.Contains(model.GetGradient(last), value => value != 0);
    }

    [Fact]
    public void ResNet18TakesAStepAtFullSize()
    {
        const int batch = 8;
        using Model model = Sequential.Input(s_photo).ResNet18().Build(seed: 1);
        byte[] images = new byte[batch * s_photo.Length];
        new Random(1).NextBytes(images);
        using Trainer trainer = model.CreateTrainer(new Sgd(1e-3f), batch);
        Assert.True(double.IsFinite(trainer.Step(images, [0, 1, 2, 3, 4, 5, 6, 999]).Loss));
        Assert.Equal(batch, model.PredictAll(images).Length);
        Assert.InRange(trainer.MemoryPlan.ArenaBytes, 1, 160_000_000);
        Assert.InRange(trainer.MemoryPlan.WorkspaceBytes, 0, 64_000_000);
    }
}
