namespace MnistNative.Tests.Comparison;

/// <summary>Draws networks from all layers there are, in an order that makes a classifier.</summary>
internal sealed class RandomNetwork(Random random)
{
    public Sequential Draw(int classes)
    {
        var network = Sequential.Input(Between(1, 5), Between(6, 14), Between(6, 14));
        if (Chance(0.4))
        {
            network = network.Normalize(0.3f, 1.7f);
        }

        for (int block = Between(0, 3); block > 0; block--)
        {
            network = Convolution(network);
            network = Chance(0.8) ? network.ReLU() : network;
            network = Chance(0.6) ? Pool(network) : network;
        }

        network = Chance(0.2) ? network.GlobalAvgPool2d() : network;
        network = network.Flatten();
        for (int hidden = Between(0, 2); hidden > 0; hidden--)
        {
            network = network.Linear(Between(1, 40), Chance(0.8)).ReLU();
        }

        return network.Linear(classes, Chance(0.8));
    }

    private Sequential Convolution(Sequential network)
    {
        (int channels, int height, int width) = ImageOf(network);
        int groups = Chance(0.3) ? Enumerable.Range(1, channels).Where(g => channels % g == 0).OrderBy(_ => random.Next()).First() : 1;
        Size2D dilation = (Chance(0.2) ? 2 : 1, Chance(0.2) ? 2 : 1);
        Size2D padding = (Between(0, 2), Between(0, 2));
        Size2D kernel = (
            Between(1, Math.Min(5, ((height + (2 * padding.Height) - 1) / dilation.Height) + 1)),
            Between(1, Math.Min(5, ((width + (2 * padding.Width) - 1) / dilation.Width) + 1)));
        return network.Conv2d(
            groups * Between(1, 24 / groups), kernel, (Between(1, 2), Between(1, 2)), padding, dilation, groups, Chance(0.8));
    }

    private Sequential Pool(Sequential network)
    {
        (_, int height, int width) = ImageOf(network);
        Size2D kernel = (Between(1, Math.Min(3, height)), Between(1, Math.Min(3, width)));
        Size2D? stride = Chance(0.5) ? null : (Between(1, 3), Between(1, 3));
        Size2D padding = (Between(0, kernel.Height / 2), Between(0, kernel.Width / 2));
        bool ceilMode = Chance(0.4);
        return Chance(0.6)
            ? network.MaxPool2d(kernel, stride, padding, ceilMode)
            : network.AvgPool2d(kernel, stride, padding, ceilMode, countIncludePad: Chance(0.5));
    }

    private static (int Channels, int Height, int Width) ImageOf(Sequential network)
    {
        IReadOnlyList<long> shape = network.Summary().Layers[^1].OutputShape;
        return ((int)shape[0], (int)shape[1], (int)shape[2]);
    }

    private int Between(int low, int high) => random.Next(low, high + 1);

    private bool Chance(double probability) => random.NextDouble() < probability;
}
