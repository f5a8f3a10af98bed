using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using MnistNative.Interop;

namespace MnistNative;

/// <summary>
/// The description of a network whose layers follow one another; branches and blocks are functions that add layers to a
/// part of it. Immutable: every method returns a new, longer network, so one beginning can have several continuations.
/// PyTorch: <c>nn.Sequential</c>; Keras: <c>Sequential</c>.
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
/// not. Parameters are the layer's name and what they are: <c>0.weight</c>, <c>0.bias</c>. Any layer can be given a name
/// instead. Inside <see cref="Block(string, Func{Sequential, Sequential})"/> names begin with the block's and numbers with
/// 0: <c>layer1.0.weight</c>. Branches without a name of their own are no modules: their layers are numbered on.
/// </remarks>
public sealed partial class Sequential
{
    /// <summary>Most branches and blocks that a layer may be in: one thread's stack has to hold them all.</summary>
    internal const int MaxNesting = 256;

    // What parts of a network that begin in one place have in common; null for whole networks.
    private readonly object? _part;

    // In how many branches and blocks the layers are.
    private readonly int _nesting;

    private Sequential(ImageShape inputShape, ImmutableArray<Layer> layers, object? part = null, int nesting = 0)
    {
        InputShape = inputShape;
        Layers = layers;
        EndsInSoftmax = Layer.EndInSoftmax(layers);
        _part = part;
        _nesting = nesting;
    }

    /// <summary>Shape of the images that the network takes.</summary>
    public ImageShape InputShape { get; }

    /// <summary>What is wrong with branches that are deeper in one another.</summary>
    internal static string TooDeep => $"Branches and blocks may be nested {MaxNesting} deep, these are deeper.";

    /// <summary>The layers in order.</summary>
    internal ImmutableArray<Layer> Layers { get; }

    /// <summary>Whether the output is probabilities, not raw scores.</summary>
    internal bool EndsInSoftmax { get; }

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

    /// <summary>
    /// Begins a network that takes features instead of images, N×F. Its <see cref="InputShape"/> is 1×1×F. For words give
    /// their numbers as floats and put <see cref="Embedding"/> behind.
    /// </summary>
    /// <param name="features">Number of features F.</param>
    /// <returns>A network without layers.</returns>
    public static Sequential Input(int features)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(features, 1);
        return Input(1, 1, features).Add(new InputViewLayer([features]));
    }

    /// <summary>
    /// Begins a network that takes sequences, N×C×L, for <see cref="Conv1d"/>. Its <see cref="InputShape"/> is C×1×L.
    /// </summary>
    /// <param name="channels">Number of channels C.</param>
    /// <param name="length">Number of steps L.</param>
    /// <returns>A network without layers.</returns>
    public static Sequential Input(int channels, int length)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(channels, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 1);
        return Input(channels, 1, length).Add(new InputViewLayer([channels, length]));
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
        Model.Create(Whole(), seed, device ?? Device.Default, options ?? new ModelOptions());

    /// <summary>Checks the network's shapes and describes its layers, without making a model.</summary>
    /// <returns>The table of layers.</returns>
    /// <exception cref="ArgumentException">A layer does not fit what comes before it; the text names it.</exception>
    public ModelSummary Summary()
    {
        using GraphBuilder graph = GraphBuilder.Build(Whole());
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

    /// <summary>Reads a network from a model file.</summary>
    internal static Sequential ReadLayers(ImageShape inputShape, JsonElement layers) =>
        new(inputShape, [.. Layer.ReadAll(layers, nesting: 0)]);

    /// <summary>The layers that a lambda adds to a part that begins where this network ends.</summary>
    private ImmutableArray<Layer> Branch(
        Func<Sequential, Sequential> build, [CallerArgumentExpression(nameof(build))] string? paramName = null)
    {
        ArgumentNullException.ThrowIfNull(build, paramName);
        if (_nesting == MaxNesting)
        {
            throw new ArgumentException(TooDeep, paramName);
        }

        object part = new();
        Sequential? built = build(new Sequential(InputShape, [], part, _nesting + 1));
        return built is not null && ReferenceEquals(built._part, part)
            ? built.Layers
            : throw new ArgumentException(
                "The function must add its layers to the network that it is given, and return that.", paramName);
    }

    private ImmutableArray<ImmutableArray<Layer>> Branches(
        Func<Sequential, Sequential>[] build, [CallerArgumentExpression(nameof(build))] string? paramName = null)
    {
        ArgumentNullException.ThrowIfNull(build, paramName);
        return build.Length >= 2
            ? [.. build.Select(branch => Branch(branch, paramName))]
            : throw new ArgumentException($"At least two branches are needed, got {build.Length}.", paramName);
    }

    private Sequential Whole() =>
        _part is null
            ? this
            : throw new InvalidOperationException("A branch or block is a part of a network, which cannot be built alone.");

    private Sequential Add(Layer layer) => new(InputShape, Layers.Add(layer), _part, _nesting);
}
