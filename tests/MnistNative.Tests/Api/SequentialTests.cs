using System.Diagnostics;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative.Tests.Api;

public sealed class SequentialTests
{
    private static Sequential Seed => Sequential.Input(1, 28, 28)
        .Normalize(0.1307f, 0.3081f)
        .Conv2d(32, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
        .Conv2d(64, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
        .Flatten()
        .Linear(128).ReLU()
        .Linear(10);

    [Fact]
    public void LayersAreNumberedAsInPyTorch()
    {
        using Model model = Seed.Build();
        Assert.Equal(
            [
                "0.weight 32×1×3×3", "0.bias 32", "3.weight 64×32×3×3", "3.bias 64",
                "7.weight 128×3136", "7.bias 128", "9.weight 10×128", "9.bias 10",
            ],
            model.Parameters.Select(parameter => parameter.ToString()));
        Assert.All(model.Parameters, parameter => Assert.True(parameter.IsTrainable));
        Assert.Equal(421_642, model.Parameters.Sum(parameter => parameter.Count));
    }

    [Fact]
    public void SummaryShowsEveryLayer()
    {
        ModelSummary summary = Seed.Summary();
        Assert.Equal(421_642, summary.ParameterCount);
        Assert.Contains("421,642", summary.ToString());
        Assert.Equal(
            ["Input", "Normalize", "Conv2d", "ReLU", "MaxPool2d", "Conv2d", "ReLU", "MaxPool2d", "Flatten", "Linear", "ReLU", "Linear"],
            summary.Layers.Select(layer => layer.Type));
        LayerSummary convolution = summary.Layers[5];
        Assert.Equal("3", convolution.Name);
        Assert.Equal([64, 14, 14], convolution.OutputShape);
        Assert.Equal(18_496, convolution.ParameterCount);
        Assert.Equal(64 * 14 * 14 * 32 * 9, convolution.MultiplyAdds);

        using Model model = Seed.Build();
        Assert.Equal(summary.ToString(), model.Summary().ToString());
    }

    [Fact]
    public void SummaryIsATable()
    {
        string[] expected =
        [
            "Name  Layer      Output shape  Parameters  Multiply-adds",
            "--------------------------------------------------------",
            "      Input      1×8×8                  0              0",
            "      Normalize  1×8×8                  0              0",
            "0     Conv2d     4×8×8                 40          2,304",
            "1     ReLU       4×8×8                  0              0",
            "2     MaxPool2d  4×4×4                  0              0",
            "3     Flatten    64                     0              0",
            "4     Linear     14                   910            896",
            "5     ReLU       14                     0              0",
            "6     Linear     3                     45             42",
            "--------------------------------------------------------",
            "Multiply-adds: 3,242",
            "Parameters: 995",
        ];
        Assert.Equal(expected, Tiny.Network.Summary().ToString().Split(Environment.NewLine));
    }

    [Fact]
    public void EveryCallGivesANewNetwork()
    {
        Sequential body = Sequential.Input(1, 4, 4).Flatten();
        Sequential wide = body.Linear(7);
        Sequential narrow = body.Linear(2);
        Assert.Equal("Input(1×4×4) → Flatten", body.ToString());
        Assert.Equal(7 * 17, wide.Summary().ParameterCount);
        Assert.Equal(2 * 17, narrow.Summary().ParameterCount);
    }

    [Fact]
    public void SizesCanDifferInHeightAndWidth()
    {
        ModelSummary summary = Sequential.Input(2, 10, 20)
            .Conv2d(6, kernel: (3, 5), stride: (1, 2), padding: (1, 2), dilation: (2, 1), groups: 2, bias: false)
            .AvgPool2d((2, 5), stride: (2, 1))
            .GlobalAvgPool2d()
            .Summary();
        Assert.Equal([6, 8, 10], summary.Layers[1].OutputShape);
        Assert.Equal(6 * 1 * 3 * 5, summary.ParameterCount);
        Assert.Equal([6, 4, 6], summary.Layers[2].OutputShape);
        Assert.Equal([6, 1, 1], summary.Layers[3].OutputShape);
    }

    [Fact]
    public void LayersCanHaveNames()
    {
        using Model model = Sequential.Input(1, 4, 4)
            .Conv2d(2, 3, name: "features.conv").ReLU().Flatten().Linear(3, name: "head").Linear(2)
            .Build();
        Assert.Equal(
            ["features.conv.weight", "features.conv.bias", "head.weight", "head.bias", "4.weight", "4.bias"],
            model.Parameters.Select(parameter => parameter.Name));
    }

    public static TheoryData<string, string> Misfits => new()
    {
        { "linear on an image", "\"1\"" },
        { "pool larger than its image", "\"0\"" },
        { "kernel larger than its image", "\"conv\"" },
        { "groups that do not divide", "\"2\"" },
        { "convolution of features", "\"1\"" },
        { "pool with too much padding", "\"0\"" },
        { "softmax of an image", "\"0\"" },
        { "the same name twice", "\"a\"" },
    };

    [Theory]
    [MemberData(nameof(Misfits))]
    public void BuildNamesTheLayerThatDoesNotFit(string what, string layer)
    {
        Sequential input = Sequential.Input(2, 5, 5);
        Sequential network = what switch
        {
            "linear on an image" => input.ReLU().Linear(3),
            "pool larger than its image" => input.MaxPool2d(6),
            "kernel larger than its image" => input.Conv2d(3, 7, name: "conv"),
            "groups that do not divide" => input.ReLU().ReLU().Conv2d(4, 3, groups: 4),
            "convolution of features" => input.Flatten().Conv2d(4, 3),
            "pool with too much padding" => input.MaxPool2d(2, padding: 2),
            "softmax of an image" => input.Softmax(),
            "the same name twice" => input.ReLU("a").ReLU("a"),
            _ => throw new ArgumentException(what),
        };
        ArgumentException fromBuild = Assert.Throws<ArgumentException>(() => network.Build());
        Assert.Contains(layer, fromBuild.Message);
        ArgumentException fromSummary = Assert.Throws<ArgumentException>(() => network.Summary());
        Assert.Equal(fromBuild.Message, fromSummary.Message);
    }

    [Fact]
    public void NormalizeMustComeFirst()
    {
        Sequential late = Sequential.Input(1, 5, 5).ReLU().Normalize(0.5f, 0.5f);
        Assert.Contains("normalize", Assert.Throws<ArgumentException>(() => late.Build()).Message);
    }

    [Fact]
    public void ImpossibleNumbersAreRefusedAtOnce()
    {
        Sequential input = Sequential.Input(3, 5, 5);
        Assert.Throws<ArgumentOutOfRangeException>(() => input.Conv2d(0, 3));
        Assert.Throws<ArgumentOutOfRangeException>(() => input.Conv2d(1, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => input.Conv2d(1, 3, stride: 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => input.Conv2d(1, 3, padding: -1));
        Assert.Throws<ArgumentOutOfRangeException>(() => input.Conv2d(1, 3, dilation: (1, 0)));
        Assert.Throws<ArgumentOutOfRangeException>(() => input.Conv2d(1, 3, groups: 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => input.MaxPool2d((0, 1)));
        Assert.Throws<ArgumentOutOfRangeException>(() => input.Linear(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => input.Normalize(0, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => input.Normalize(float.NaN, 1));
        Assert.Throws<ArgumentException>(() => input.Normalize([0, 0], [1, 1]));
        Assert.Throws<ArgumentException>(() => input.ReLU(name: ""));
        // The limit counts bytes, of which these characters have three.
        string longest = new('層', NativeConstants.MaxNodeName / 3);
        using Model model = input.Flatten().Linear(2, name: longest).Build();
        Assert.Equal(longest + ".weight", model.Parameters[0].Name);
        Assert.Contains("237 bytes", Assert.Throws<ArgumentException>(() => input.ReLU(name: longest + "xxx")).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => Sequential.Input(0, 5, 5));
    }

    [Fact]
    public void TheDescriptionSurvivesItsTextForm()
    {
        Sequential network = Sequential.Input(3, 16, 12)
            .Normalize([0.1f, 0.2f, 0.3f], [0.4f, 0.5f, 0.6f])
            .Conv2d(6, kernel: (3, 5), stride: (1, 2), padding: (1, 2), dilation: (2, 1), groups: 3, bias: false, name: "π \"x\"")
            .ReLU().MaxPool2d((2, 3), stride: 1, padding: 1, ceilMode: true)
            .AvgPool2d(2, countIncludePad: false).GlobalAvgPool2d().Flatten().Linear(4, bias: false).Softmax();
        string text = ArchitectureFormat.Write(network);
        Sequential read = ArchitectureFormat.Read(text);
        Assert.Equal(text, ArchitectureFormat.Write(read));
        Assert.Equal(network.Summary().ToString(), read.Summary().ToString());
    }

    [Fact]
    public void AHundredThousandLayersTakeTimeInProportion()
    {
        // Some seconds; many minutes where anything takes the square of the number of layers.
        var watch = Stopwatch.StartNew();
        Sequential network = Sequential.Input(4);
        for (int i = 0; i < 50_000; i++)
        {
            network = network.Linear(4).ReLU();
        }

        TimeSpan described = watch.Elapsed;
        using Model model = network.Build();
        TimeSpan built = watch.Elapsed;
        Assert.Equal(100_000, model.Parameters.Count);
        Assert.Equal(4, model.Forward([1, 2, 3, 4]).Length);
        Assert.True(built < TimeSpan.FromMinutes(2), $"described after {described}, built after {built}");
    }

    [Theory]
    [InlineData("", "JSON")]
    [InlineData("[]", "version")]
    [InlineData("""{"version":3,"input":[1,2,3],"layers":[]}""", "version 3")]
    [InlineData("""{"version":1,"input":[1,2,3]}""", "layers")]
    [InlineData("""{"version":1,"input":[1,-2,3],"layers":[]}""", "1×-2×3")]
    [InlineData("""{"version":1,"input":[1,2,3],"layers":[5]}""", "object")]
    [InlineData("""{"version":1,"input":[1,2,3],"layers":[{"type":"telepathy"}]}""", "telepathy")]
    [InlineData("""{"version":1,"input":[1,2,3],"layers":[{"type":7}]}""", "type")]
    [InlineData("""{"version":1,"input":[1,2,3],"layers":[{"type":"linear","bias":true}]}""", "out_features")]
    [InlineData("""{"version":1,"input":[1,2,3],"layers":[{"type":"linear","bias":1,"out_features":3}]}""", "bias")]
    [InlineData("""{"version":1,"input":[1,2,3],"layers":[{"type":"relu","name":""}]}""", "name")]
    public void ADamagedDescriptionIsRefused(string text, string problem) =>
        Assert.Contains(problem, Assert.Throws<FormatException>(() => ArchitectureFormat.Read(text)).Message);
}
