using System.Runtime.CompilerServices;
using MnistNative.Interop;

namespace MnistNative;

/// <summary>
/// A network compiled for a device, with its parameters. Made by <see cref="Sequential.Build"/> or <see cref="Load"/>.
/// </summary>
/// <remarks>
/// Safe to use from several threads: any number of predictions and evaluations run at once. One training runs at a time,
/// a second is refused; a prediction during training waits for the step under way and sees its parameters.
/// </remarks>
public sealed partial class Model : IDisposable
{
    private readonly ModelHandle _handle;
    private readonly ModelSummary _summary;
    private readonly int _lossNode;
    private readonly int _imageLength;
    private readonly ModelOptions _options;
    private bool _fitted;

    private Model(
        Sequential network, Device device, ulong seed, ModelOptions options, ModelHandle handle, GraphBuilder graph)
    {
        Network = network;
        Device = device;
        Seed = seed;
        _handle = handle;
        _options = options;
        _summary = new ModelSummary(graph.Rows);
        OutputNode = graph.Output;

        // A final softmax and the logarithm in cross-entropy are one: evaluation takes the loss of what precedes it.
        _lossNode = network.EndsInSoftmax ? graph.BeforeOutput : graph.Output;
        _imageLength = network.InputShape.Length;
        OutputShape = graph.OutputShape;
        OutputLength = ToInt(
            OutputShape.Aggregate((product, dimension) => product * dimension),
            $"The output {NativeShape.ToText(OutputShape)} of an image has");
        Heads = graph.Heads;
        Parameters = DescribeParameters(handle, graph.PixelLinears);
        _parameterIndex = Parameters
            .Select((parameter, index) => KeyValuePair.Create(parameter.Name, index))
            .ToDictionary(StringComparer.Ordinal);
    }

    /// <summary>The description that the model was made from.</summary>
    public Sequential Network { get; }

    /// <summary>Where the model computes, also after this object was disposed.</summary>
    public Device Device { get; }

    /// <summary>The seed that the model was built with.</summary>
    public ulong Seed { get; }

    /// <summary>How products are computed.</summary>
    public Precision Precision => _options.Precision;

    /// <summary>Shape of the images that the model takes.</summary>
    public ImageShape InputShape => Network.InputShape;

    /// <summary>Shape of the output for one image: F, or C, H, W.</summary>
    public IReadOnlyList<long> OutputShape { get; }

    /// <summary>Number of values in the output for one image; for a classifier, the number of classes.</summary>
    public int OutputLength { get; }

    /// <summary>What inference holds on the device (one execution of it).</summary>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public unsafe MemoryPlan MemoryPlan
    {
        get
        {
            var plan = new MnMemoryPlan { StructSize = (uint)sizeof(MnMemoryPlan) };
            using NativeHandle.Lease lease = _handle.Use();
            Native.Check(NativeMethods.ModelMemoryPlan(lease.Value, &plan));
            return MemoryPlan.From(plan);
        }
    }

    internal ModelHandle Handle => _handle;

    /// <summary>The loss of values that the model was last trained with, also before it was saved; null for others.</summary>
    internal MnLossKind? TrainedWith { get; set; }

    /// <summary>Id of the node that holds the network's result.</summary>
    internal int OutputNode { get; }

    /// <summary>The auxiliary outputs, whose losses are added in training.</summary>
    internal IReadOnlyList<AuxiliaryHead> Heads { get; }

    /// <summary>
    /// The table of layers with output shapes and parameter counts. PyTorch: <c>torchinfo.summary</c>; Keras:
    /// <c>summary</c>.
    /// </summary>
    /// <returns>The table as data; its <see cref="ModelSummary.ToString"/> gives it as text.</returns>
    public ModelSummary Summary() => _summary;

    /// <summary>The table of <see cref="Summary"/> as text.</summary>
    public override string ToString() => _summary.ToString();

    /// <summary>Gives the model's memory back. A training that is under way ends with its next step.</summary>
    public void Dispose() => _handle.Dispose();

    internal static Model Create(Sequential network, ulong seed, Device device, ModelOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(options.InferenceBatch);
        using GraphBuilder graph = GraphBuilder.Build(network);
        return Create(network, seed, device, device.Handle, options, graph, [graph.Output]);
    }

    /// <summary>
    /// A model with the same parameters that gives the results of all rows of <see cref="Summary"/>, for
    /// <see cref="ForwardEveryLayer"/> and nothing else.
    /// </summary>
    internal Model WithEveryLayer()
    {
        using GraphBuilder graph = GraphBuilder.Build(Network);
        ModelOptions options = _options with { Fusion = false, InferenceBatch = 1 };
        Model model = Create(Network, Seed, Device, _handle.Device, options, graph, [.. graph.RowNodes]);
        try
        {
            model.CopyParametersFrom(this);
            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>Throws where a number does not fit an int.</summary>
    private static int ToInt(long values, string what) => values <= int.MaxValue
        ? (int)values
        : throw new ArgumentException($"{what} {values} values, more than {int.MaxValue}.");

    private static unsafe Model Create(
        Sequential network,
        ulong seed,
        Device device,
        DeviceHandle deviceHandle,
        ModelOptions options,
        GraphBuilder graph,
        ReadOnlySpan<int> nodes)
    {
        ulong value;
        fixed (int* outputs = nodes)
        {
            var desc = new MnModelDesc
            {
                StructSize = (uint)sizeof(MnModelDesc),
                Flags = options.Fusion ? 0 : (uint)MnModelFlag.NoFusion,
                Seed = seed,
                Outputs = outputs,
                OutputCount = nodes.Length,
                InferenceBatch = options.InferenceBatch,
                Precision = (int)options.Precision,
            };
            using NativeHandle.Lease lease = deviceHandle.Use();
            MnStatus status = NativeMethods.ModelCreate(lease.Value, graph.Value, &desc, &value);
            Native.Check(Native.MayTryAgain(status) ? NativeMethods.ModelCreate(lease.Value, graph.Value, &desc, &value) : status);
        }

        var handle = new ModelHandle(value, deviceHandle);
        try
        {
            var model = new Model(network, device, seed, options, handle, graph);
            MemoryPlan plan = model.MemoryPlan;
            handle.AddPressure(plan.ParameterBytes + plan.PackedBytes + plan.ArenaBytes + plan.WorkspaceBytes);
            return model;
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    /// <summary>Throws unless the data set's images and classes fit the model.</summary>
    internal void CheckData(IImageDataset data, [CallerArgumentExpression(nameof(data))] string? paramName = null)
    {
        ArgumentNullException.ThrowIfNull(data, paramName);
        if (data.Count < 1)
        {
            throw new ArgumentException("The data set has no images.", paramName);
        }

        if (data.Shape != InputShape)
        {
            throw new ArgumentException($"The model takes images of shape {InputShape}, the data set's are {data.Shape}.", paramName);
        }

        if (data.ClassCount > OutputLength)
        {
            throw new ArgumentException(
                $"The data set has {data.ClassCount} classes, the model gives {OutputLength} scores.", paramName);
        }
    }

    /// <summary>Throws unless the data set has what a loss compares with: values, or labels that are classes or ignored.</summary>
    internal void CheckLoss(IImageDataset data, Loss loss, [CallerArgumentExpression(nameof(data))] string? paramName = null)
    {
        CheckTargets(data, loss, paramName);
        if (loss is LabelLoss labels)
        {
            (data as ImageDataset)?.CheckLabels(labels.IgnoreIndex, paramName);
        }
    }

    /// <summary>Throws if a loss compares with values or labels that the data set does not have.</summary>
    internal void CheckTargets(IImageDataset data, Loss loss, [CallerArgumentExpression(nameof(data))] string? paramName = null)
    {
        int length = (data as ImageDataset)?.TargetLength ?? 0;
        if (loss is LabelLoss && length > 0)
        {
            throw new ArgumentException(
                $"The data set has {length} targets an image and no labels, and the loss takes labels: take a loss of values, such as "
                + "Loss.Mse() or Loss.BceWithLogits().",
                paramName);
        }

        if (loss is TargetLoss && length != OutputLength)
        {
            throw new ArgumentException(
                $"The loss compares {OutputLength} values an image, the data set has {length}. "
                + "ImageDataset.FromMemory(images, targets, shape) makes one with targets.",
                paramName);
        }
    }

    /// <summary>
    /// The first batch normalisation that has one value a channel and image and takes its statistics from the batch, so that
    /// one image is not enough; null if there is none.
    /// </summary>
    internal LayerSummary? FirstNormOfOneValue(IReadOnlyList<ParameterGroup> groups) => NormsOfBatches(groups)
        .FirstOrDefault(row => row.OutputShape.Skip(1).All(dimension => dimension == 1));

    /// <summary>The layers that compute otherwise in training than in inference.</summary>
    internal IEnumerable<LayerSummary> LayersOfTraining(IReadOnlyList<ParameterGroup> groups) => NormsOfBatches(groups)
        .Concat(_summary.Layers.Where(row => row.Type is "Dropout" or "Dropout2d" or "StochasticDepth"));

    private IEnumerable<LayerSummary> NormsOfBatches(IReadOnlyList<ParameterGroup> groups) =>
        _summary.Layers.Where(row => row.Type is "BatchNorm1d" or "BatchNorm2d" && !HasFrozenStatistics(row.Name, groups));

    private bool HasFrozenStatistics(string layer, IReadOnlyList<ParameterGroup> groups)
    {
        ParameterInfo mean = Parameters[_parameterIndex[layer + ".running_mean"]];
        return groups.FirstOrDefault(group => group.Contains(mean))?.FrozenStatistics == true;
    }

    /// <summary>Takes note of a training by <see cref="Fit"/>; a second one is told of.</summary>
    internal void NoteFit()
    {
        if (_fitted)
        {
            MnistNativeLog.Write(
                MnistNativeLogLevel.Information,
                "Fit trains a model that it trained before: the optimizer's state, the schedule and the order of the images begin "
                + "anew. One call with more epochs, ResumeFrom or a trainer goes on");
        }

        _fitted = true;
    }

    private static unsafe ParameterInfo[] DescribeParameters(ModelHandle handle, IReadOnlySet<int> pixelLinears)
    {
        using NativeHandle.Lease lease = handle.Use();
        int count;
        Native.Check(NativeMethods.ModelParameterCount(lease.Value, &count));
        var parameters = new ParameterInfo[count];
        for (int i = 0; i < count; i++)
        {
            var info = new MnParameterInfo { StructSize = (uint)sizeof(MnParameterInfo) };
            Native.Check(NativeMethods.ModelParameterDescribe(lease.Value, i, &info));
            string name = Utf8.FromNative(info.Name);
            long[] shape = NativeShape.ToArray(info.Shape);
            if (pixelLinears.Contains(info.Node) && shape is [long outputs, long inputs, 1, 1])
            {
                shape = [outputs, inputs];
            }

            bool isCounter = info.Trainable == 0 && name.EndsWith(".num_batches_tracked", StringComparison.Ordinal);
            parameters[i] = new ParameterInfo(
                name, isCounter ? [] : shape, ToInt(info.Count, $"The parameter \"{name}\" has"), info.Trainable != 0)
            {
                IsCounter = isCounter,
            };
        }

        return parameters;
    }
}
