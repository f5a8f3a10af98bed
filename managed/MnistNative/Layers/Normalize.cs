using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

internal sealed partial record NormalizeLayer(float[] Mean, float[] Std, string? Name) : Layer(CheckName(Name))
{
    public override bool IsModule => false;

    public static Layer Read(LayerReader json)
    {
        var layer = new NormalizeLayer(json.Floats("mean"), json.Floats("std"), json.Name);
        return layer.Mean.Length == layer.Std.Length
            ? layer
            : throw new FormatException(
                $"a layer of type \"normalize\" has {layer.Mean.Length} values in \"mean\" and {layer.Std.Length} in \"std\"");
    }

    public override unsafe int AddTo(GraphBuilder graph, int source, string? name)
    {
        fixed (float* mean = Mean, std = Std)
        {
            return graph.Add(MnOp.Normalize, new MnNormalizeDesc { Channels = Mean.Length, Mean = mean, Std = std }, name, source);
        }
    }

    protected override void WriteParameters(Utf8JsonWriter json)
    {
        json.WriteFloats("mean", Mean);
        json.WriteFloats("std", Std);
    }
}

public sealed partial class Sequential
{
    /// <summary>
    /// Normalises the images, (x − mean) / std, the same in every channel. It belongs to how images are read, so it
    /// must come first, and the saved model carries it: bytes are divided by 255 before, floats are taken as they are.
    /// PyTorch: <c>torchvision.transforms.Normalize</c>; Keras: <c>Normalization</c>.
    /// </summary>
    /// <param name="mean">The mean to subtract; MNIST's is 0.1307.</param>
    /// <param name="std">The standard deviation to divide by, finite and above 0; MNIST's is 0.3081.</param>
    /// <returns>The longer network.</returns>
    public Sequential Normalize(float mean, float std) => Normalize([mean], [std]);

    /// <summary>
    /// Normalises the images channel by channel, (x − mean) / std; see <see cref="Normalize(float, float)"/>.
    /// <see cref="ImageDataset.ComputeMeanStd"/> gives the numbers of a data set.
    /// </summary>
    /// <param name="mean">A mean for each channel, or one for all.</param>
    /// <param name="std">A standard deviation for each channel, or one for all; each finite and above 0.</param>
    /// <returns>The longer network.</returns>
    public Sequential Normalize(ReadOnlySpan<float> mean, ReadOnlySpan<float> std)
    {
        if (mean.Length != std.Length || (mean.Length != 1 && mean.Length != InputShape.Channels))
        {
            throw new ArgumentException(
                $"Normalize needs one mean and one std, or {InputShape.Channels} of each (the input's channels); " +
                $"got {mean.Length} and {std.Length}.",
                nameof(mean));
        }

        foreach (float value in mean)
        {
            if (!float.IsFinite(value))
            {
                throw new ArgumentOutOfRangeException(nameof(mean), value, "Each mean must be finite.");
            }
        }

        foreach (float value in std)
        {
            if (!float.IsFinite(value) || value <= 0)
            {
                throw new ArgumentOutOfRangeException(nameof(std), value, "Each standard deviation must be finite and above 0.");
            }
        }

        var layer = new NormalizeLayer(mean.ToArray(), std.ToArray(), null);
        return _count == 1 && Layers is [InputViewLayer] ? new Sequential(InputShape, Layers.Insert(0, layer), _part) : Add(layer);
    }
}
