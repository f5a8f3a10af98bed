using MnistNative.IO;

namespace MnistNative.Tests.Api;

/// <summary>Shapes, names and text forms of layers, without kernels.</summary>
public sealed class LayerTests
{
    private static Sequential Image => Sequential.Input(4, 9, 10);

    public static TheoryData<string, Func<Sequential>, long[], string> Layers => new()
    {
        { "same", () => Image.Conv2d(6, 3, stride: 2, padding: Padding.Same), [6, 5, 5], "0.weight 6×4×3×3, 0.bias 6" },
        { "same, even kernel", () => Image.Conv2d(6, (4, 2), padding: Padding.Same), [6, 9, 10], "0.weight 6×4×4×2, 0.bias 6" },
        { "valid", () => Image.Conv2d(6, 3, padding: Padding.Valid), [6, 7, 8], "0.weight 6×4×3×3, 0.bias 6" },
        { "reflect", () => Image.Conv2d(6, 3, padding: 2, paddingMode: PaddingMode.Reflect), [6, 11, 12], "0.weight 6×4×3×3, 0.bias 6" },
        { "circular same", () => Image.Conv2d(6, 4, stride: 3, padding: Padding.Same, paddingMode: PaddingMode.Circular), [6, 3, 4], "0.weight 6×4×4×4, 0.bias 6" },
        { "transposed", () => Image.ConvTranspose2d(6, 3, stride: 2, padding: 1, outputPadding: 1, groups: 2), [6, 18, 20], "0.weight 4×3×3×3, 0.bias 6" },
        { "conv1d", () => Sequential.Input(4, 20).Conv1d(6, 5, stride: 2, groups: 2), [6, 8], "0.weight 6×2×5, 0.bias 6" },
        { "conv1d same", () => Sequential.Input(4, 20).Conv1d(6, 4, padding: Padding.Same), [6, 20], "0.weight 6×4×4, 0.bias 6" },
        { "conv1d replicate", () => Sequential.Input(4, 20).Conv1d(6, 3, padding: 2, paddingMode: PaddingMode.Replicate), [6, 22], "0.weight 6×4×3, 0.bias 6" },
        { "max_pool1d", () => Sequential.Input(4, 20).MaxPool1d(3, ceilMode: true, dilation: 2), [4, 6], "" },
        { "avg_pool1d", () => Sequential.Input(4, 20).AvgPool1d(4, stride: 2, padding: 1, countIncludePad: false), [4, 10], "" },
        { "max_pool2d", () => Image.MaxPool2d(3, stride: 2, dilation: 2, ceilMode: true), [4, 3, 4], "" },
        { "max_unpool2d", () => Image.MaxPool2d(2, name: "pool").ReLU().MaxUnpool2d("pool"), [4, 9, 10], "" },
        { "adaptive_avg_pool2d", () => Image.AdaptiveAvgPool2d((3, 12)), [4, 3, 12], "" },
        { "adaptive_max_pool2d", () => Image.AdaptiveMaxPool2d(3), [4, 3, 3], "" },
        { "global_max_pool2d", () => Image.GlobalMaxPool2d(), [4, 1, 1], "" },
        { "batch_norm2d", () => Image.BatchNorm2d(), [4, 9, 10], "0.weight 4, 0.bias 4, 0.running_mean 4, 0.running_var 4, 0.num_batches_tracked scalar" },
        { "batch_norm1d", () => Sequential.Input(7).BatchNorm1d(affine: false), [7], "0.running_mean 7, 0.running_var 7, 0.num_batches_tracked scalar" },
        { "layer_norm", () => Image.LayerNorm(), [4, 9, 10], "0.weight 4×9×10, 0.bias 4×9×10" },
        { "layer_norm of channels", () => Image.LayerNorm(channelsOnly: true), [4, 9, 10], "0.weight 4, 0.bias 4" },
        { "group_norm", () => Image.GroupNorm(2), [4, 9, 10], "0.weight 4, 0.bias 4" },
        { "instance_norm2d", () => Image.InstanceNorm2d(), [4, 9, 10], "" },
        { "instance_norm2d affine", () => Image.InstanceNorm2d(affine: true), [4, 9, 10], "0.weight 4, 0.bias 4" },
        { "local_response_norm", () => Image.LocalResponseNorm(5), [4, 9, 10], "" },
        {
            "activations",
            () => Image.ReLU().ReLU6().LeakyReLU().ELU().GELU().GELU(approximate: true).SiLU().Sigmoid().Tanh().Hardswish()
                .Hardsigmoid().Softplus(beta: 2).Flatten().LogSoftmax(),
            [360],
            ""
        },
        { "activations with numbers", () => Image.Mish().Hardtanh(-2, 0.5f).Softsign().Threshold(0.1f, value: 2), [4, 9, 10], "" },
        { "prelu", () => Image.PReLU().PReLU(4).Flatten().PReLU(360, initial: 0), [360], "0.weight 1, 1.weight 4, 3.weight 360" },
        { "regularisation", () => Image.Dropout().Dropout2d(0.2f).StochasticDepth(0.1f), [4, 9, 10], "" },
        { "linear over channels", () => Image.PixelLinear(6), [6, 9, 10], "0.weight 6×4, 0.bias 6" },
        { "embedding", () => Sequential.Input(20).Embedding(100, 8).Conv1d(3, 2), [3, 19], "0.weight 100×8, 1.weight 3×8×2, 1.bias 3" },
        { "reshape", () => Image.Reshape(8, 45).Reshape("image", 5, 8, 9), [5, 8, 9], "" },
        { "upsample", () => Image.Upsample((2, 3)).Upsample(2, UpsampleMode.Bilinear, alignCorners: true), [4, 36, 60], "" },
        { "channel_shuffle", () => Image.ChannelShuffle(2), [4, 9, 10], "" },
        { "slice", () => Image.Slice(1, 2).Conv2d(1, 1, bias: false), [1, 9, 10], "0.weight 1×2×1×1" },
        { "scale", () => Image.Scale(0.5f), [4, 9, 10], "0.weight 4×1×1" },
        { "scale by name", () => Image.Block("b", b => b.Scale(parameterName: "gamma").Conv2d(1, 1, bias: false)), [1, 9, 10], "b.gamma 4×1×1, b.0.weight 1×4×1×1" },
        { "residual", () => Image.Residual(b => b.Conv2d(4, 3, padding: 1, bias: false).ReLU()).Flatten().Linear(2, bias: false), [2], "0.weight 4×4×3×3, 3.weight 2×360" },
        { "residual with a name", () => Image.Residual(b => b.Conv2d(6, 1, bias: false), s => s.Conv2d(6, 1, bias: false), name: "r"), [6, 9, 10], "r.0.weight 6×4×1×1, r.1.weight 6×4×1×1" },
        { "add, subtract, multiply", () => Image.Add(a => a.ReLU(), b => b).Subtract(a => a, b => b.GlobalAvgPool2d()).Multiply(g => g.GlobalMaxPool2d()).Multiply(a => a, b => b.Sigmoid()), [4, 9, 10], "" },
        { "concat", () => Image.Concat(a => a, b => b.Conv2d(2, 1, bias: false)), [6, 9, 10], "0.weight 2×4×1×1" },
        { "concat of many", () => Image.Concat([.. Enumerable.Repeat<Func<Sequential, Sequential>>(b => b.ReLU(), 20)]), [80, 9, 10], "" },
        { "split", () => Image.Split(a => a, b => b.Conv2d(5, 1, bias: false)), [7, 9, 10], "0.weight 5×2×1×1" },
        { "highway", () => Image.Highway(t => t.Conv2d(4, 1, bias: false), g => g.GlobalAvgPool2d().Conv2d(4, 1, bias: false).Sigmoid()), [4, 9, 10], "0.weight 4×4×1×1, 2.weight 4×4×1×1" },
        { "blocks", () => Image.Block("layer1", b => b.Block(u => u.Conv2d(2, 1, bias: false)).Block(u => u.ReLU().Conv2d(2, 1, bias: false, name: "conv"))), [2, 9, 10], "layer1.0.0.weight 2×4×1×1, layer1.1.conv.weight 2×2×1×1" },
        { "head", () => Image.Head("aux", 0.3f, h => h.Flatten().Linear(3, bias: false)).Conv2d(1, 1, bias: false, name: "c").Flatten().Linear(3, bias: false, name: "fc"), [3], "aux.1.weight 3×360, c.weight 1×4×1×1, fc.weight 3×90" },
    };

    [Theory]
    [MemberData(nameof(Layers))]
    public void ShapesNamesAndTextForms(string what, Func<Sequential> make, long[] shape, string parameters)
    {
        Assert.NotEmpty(what);
        Sequential network = make();
        ModelSummary summary = network.Summary();
        string text = ArchitectureFormat.Write(network);
        Sequential read = ArchitectureFormat.Read(text);
        Assert.Equal(text, ArchitectureFormat.Write(read));
        Assert.Equal(summary.ToString(), read.Summary().ToString());

        using Model model = network.Build(seed: 3);
        Assert.Equal(shape, model.OutputShape);
        Assert.Equal(parameters, string.Join(", ", model.Parameters));
        Assert.Equal(summary.ParameterCount, model.Parameters.Where(parameter => parameter.IsTrainable).Sum(parameter => (long)parameter.Count));
    }

    [Fact]
    public void AConcatenationMayHaveAnyNumberOfBranches()
    {
        const int count = 100_000;
        Sequential network = Sequential.Input(1, 1, 1).Concat([.. Enumerable.Repeat<Func<Sequential, Sequential>>(b => b, count)]);
        Assert.Equal([count, 1, 1], network.Summary().Layers[^1].OutputShape);
    }

    [Fact]
    public void SamePaddingIsThatOfKeras()
    {
        // Keras: ceil(10 / 3) = 4 outputs need 3·3 + 4 − 10 = 3 pixels more, of which the larger half stands behind.
        Assert.Equal((1, 2), Padding.Same.Along(length: 10, size: 0, kernel: 4, stride: 3, dilation: 1));
        Assert.Equal((0, 0), Padding.Same.Along(length: 10, size: 0, kernel: 1, stride: 2, dilation: 1));
        Assert.Equal((2, 2), Padding.Same.Along(length: 10, size: 0, kernel: 3, stride: 1, dilation: 2));
        Assert.Equal((3, 3), ((Padding)3).Along(length: 10, size: 3, kernel: 4, stride: 3, dilation: 1));
    }

    [Fact]
    public void PartsOfANetworkStayParts()
    {
        Assert.Throws<ArgumentException>(() => Image.Residual(_ => Image));
        Assert.Throws<ArgumentException>(() => Image.Residual(_ => null!));
        Assert.Throws<ArgumentNullException>(() => Image.Residual(null!));
        Assert.Throws<ArgumentException>(() => Image.Concat(a => a));
        Assert.Throws<InvalidOperationException>(() => Image.Residual(b =>
        {
            b.ReLU().Summary();
            return b;
        }));
    }

    [Fact]
    public void WhatDoesNotFitIsNamed()
    {
        Refused("pool", Image.ReLU().MaxUnpool2d("pool"));
        Refused("3 equal parts", Image.Split(a => a, b => b, c => c));
        Refused("bn", Sequential.Input(3).BatchNorm2d(name: "bn"));
        Refused("bn", Image.BatchNorm1d(name: "bn"));
        Refused("expects 1 or 4 parameters", Image.PReLU(3));
        Refused("a", Image.Block("b", b => b.Residual(r => r.Conv2d(5, 1, name: "a"))));

        static void Refused(string problem, Sequential network) =>
            Assert.Contains(problem, Assert.Throws<ArgumentException>(() => network.Summary()).Message);
    }

    [Fact]
    public void ImpossibleNumbersAreRefusedAtOnce()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => Image.Conv2d(1, 1, paddingMode: (PaddingMode)9));
        Assert.Throws<ArgumentOutOfRangeException>(() => Image.Dropout(1.001f));
        Assert.Throws<ArgumentOutOfRangeException>(() => Image.BatchNorm2d(momentum: 2));
        Assert.Throws<ArgumentOutOfRangeException>(() => Image.GroupNorm(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => Image.LeakyReLU(float.NaN));
        Assert.Throws<ArgumentOutOfRangeException>(() => Image.Softplus(beta: 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => Image.Hardtanh(1, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => Image.Threshold(float.NaN, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => Image.PReLU(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => Image.Reshape(0));
        Assert.Throws<ArgumentException>(() => Image.Reshape(1, 2, 3, 4));
        Assert.Throws<ArgumentOutOfRangeException>(() => Image.Upsample(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => Image.Head("h", -1, h => h));
        Assert.Throws<ArgumentOutOfRangeException>(() => Sequential.Input(0));
    }

    [Fact]
    public void NormalizeComesBeforeTheFeatures()
    {
        ModelSummary summary = Sequential.Input(5).Normalize(1, 2).Linear(3).Summary();
        Assert.Equal(["Input", "Normalize", "InputView", "Linear"], summary.Layers.Select(layer => layer.Type));
        Assert.Equal("0", summary.Layers[^1].Name);
    }
}
