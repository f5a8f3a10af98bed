using System.Globalization;
using MnistNative.Interop;

namespace MnistNative;

/// <summary>One layer of a <see cref="ModelSummary"/>.</summary>
/// <param name="Name">The layer's name, "" for the input and for layers that PyTorch has no module for.</param>
/// <param name="Type">What it is, for example <c>Conv2d</c>.</param>
/// <param name="OutputShape">Shape of its result for one image: C, H, W or F.</param>
/// <param name="ParameterCount">Values in its trainable parameters.</param>
/// <param name="MultiplyAdds">
/// Multiplications, each with an addition, of a convolution or linear layer for one image; 0 for other layers.
/// </param>
public sealed record LayerSummary(
    string Name, string Type, IReadOnlyList<long> OutputShape, long ParameterCount, long MultiplyAdds);

/// <summary>The layers of a network with their output shapes and parameters; <see cref="ToString"/> gives the table.</summary>
public sealed class ModelSummary
{
    internal ModelSummary(IReadOnlyList<LayerSummary> layers) => Layers = layers;

    /// <summary>The input, then the layers in order.</summary>
    public IReadOnlyList<LayerSummary> Layers { get; }

    /// <summary>Values in all trainable parameters.</summary>
    public long ParameterCount => Layers.Sum(layer => layer.ParameterCount);

    /// <summary>Multiply-adds of all layers for one image. PyTorch: <c>torchinfo</c>'s <c>total_mult_adds</c>.</summary>
    public long MultiplyAdds => Layers.Sum(layer => layer.MultiplyAdds);

    /// <summary>The table as text.</summary>
    public override string ToString()
    {
        List<string[]> rows = [["Name", "Layer", "Output shape", "Parameters", "Multiply-adds"]];
        rows.AddRange(Layers.Select(layer => new[]
        {
            layer.Name,
            layer.Type,
            NativeShape.ToText(layer.OutputShape),
            Number(layer.ParameterCount),
            Number(layer.MultiplyAdds),
        }));
        return string.Join(
            Environment.NewLine,
            TextTable.Format(rows, leftColumns: 3),
            $"Multiply-adds: {Number(MultiplyAdds)}",
            $"Parameters: {Number(ParameterCount)}");
    }

    private static string Number(long value) => value.ToString("N0", CultureInfo.InvariantCulture);
}
