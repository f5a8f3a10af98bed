using System.Collections.Immutable;
using System.Text;
using System.Text.Json;
using MnistNative.Interop;

namespace MnistNative;

/// <summary>
/// The description of a network whose layers follow one another. Immutable: every method returns a new, longer network,
/// so one beginning can have several continuations. PyTorch: <c>nn.Sequential</c>; Keras: <c>Sequential</c>.
/// </summary>
/// <example>
/// <code>
/// using Model model = Sequential.Input(1, 28, 28)
///     .Normalize(mean: 0.1307f, std: 0.3081f)
///     .Conv2d(32, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
///     .Flatten()
///     .Linear(10)
///     .Build(seed: 42);
/// </code>
/// </example>
/// <remarks>
/// A layer is called by its index, as in PyTorch's <c>nn.Sequential</c>: ReLU, Flatten and pools count, Normalize does
/// not. Parameters are the layer's name and what they are: <c>0.weight</c>, <c>0.bias</c>.
/// </remarks>
public sealed partial class Sequential
{
    private Sequential(ImageShape inputShape, ImmutableArray<Layer> layers)
    {
        InputShape = inputShape;
        Layers = layers;
    }

    /// <summary>Shape of the images that the network takes.</summary>
    public ImageShape InputShape { get; }

    /// <summary>The layers in order.</summary>
    internal ImmutableArray<Layer> Layers { get; }

    /// <summary>Whether the output is probabilities, not raw scores.</summary>
    internal bool EndsInSoftmax => Layers is [.., SoftmaxLayer];

    /// <summary>Begins a network that takes images of the given shape.</summary>
    /// <param name="channels">Number of channels: 1 for grey images, 3 for colour.</param>
    /// <param name="height">Rows of an image.</param>
    /// <param name="width">Columns of an image.</param>
    /// <returns>A network without layers.</returns>
    public static Sequential Input(int channels, int height, int width) => Input(new ImageShape(channels, height, width));

    /// <summary>Begins a network that takes images of the given shape.</summary>
    /// <param name="shape">The shape, for example that of a data set.</param>
    /// <returns>A network without layers.</returns>
    public static Sequential Input(ImageShape shape)
    {
        shape.Validate(nameof(shape));
        return new Sequential(shape, []);
    }

    /// <summary>Makes a model of the network: checks its shapes, compiles it for a device and draws its parameters.</summary>
    /// <param name="seed">
    /// Seed of the parameters' first values, which are drawn as PyTorch draws them (with another generator), and of the
    /// order of the images in <see cref="Model.FitAsync"/>. The same seed gives the same parameters on every machine.
    /// </param>
    /// <param name="device">Where the model computes; <see cref="Device.Default"/> when null.</param>
    /// <param name="options">Options for special purposes.</param>
    /// <returns>The model; dispose it to give its memory back.</returns>
    /// <exception cref="ArgumentException">A layer does not fit what comes before it; the text names it.</exception>
    /// <exception cref="DeviceUnavailableException">The default device cannot be used.</exception>
    /// <exception cref="MnistNativeOutOfMemoryException">The device has too little memory.</exception>
    public Model Build(ulong seed = 0, Device? device = null, ModelOptions? options = null) =>
        Model.Create(this, seed, device ?? Device.Default, options ?? new ModelOptions());

    /// <summary>Checks the network's shapes and describes its layers, without making a model.</summary>
    /// <returns>The table of layers.</returns>
    /// <exception cref="ArgumentException">A layer does not fit what comes before it; the text names it.</exception>
    public ModelSummary Summary()
    {
        using GraphBuilder graph = GraphBuilder.Build(this);
        return new ModelSummary(graph.Rows);
    }

    /// <summary>The network on one line, for example <c>Input(1×28×28) → Conv2d → ReLU</c>.</summary>
    public override string ToString()
    {
        var text = new StringBuilder($"Input({InputShape})");
        foreach (Layer layer in Layers)
        {
            text.Append(" → ").Append(layer.Type);
        }

        return text.ToString();
    }

    /// <summary>Writes the layers as a JSON array.</summary>
    internal void WriteLayers(Utf8JsonWriter json)
    {
        json.WriteStartArray();
        foreach (Layer layer in Layers)
        {
            layer.Write(json);
        }

        json.WriteEndArray();
    }

    /// <summary>Reads what <see cref="WriteLayers"/> wrote.</summary>
    internal static Sequential ReadLayers(ImageShape inputShape, JsonElement layers) =>
        new(inputShape, [.. layers.EnumerateArray().Select(Layer.Read)]);

    private Sequential Add(Layer layer) => new(InputShape, Layers.Add(layer));
}
