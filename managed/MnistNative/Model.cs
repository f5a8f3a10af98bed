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
        OutputLength = checked((int)OutputShape.Aggregate((product, dimension) => product * dimension));
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

    /// <summary>Gives the model's memory back. A training that is under way ends with its next step.</summary>
    public void Dispose() => _handle.Dispose();

    internal static unsafe Model Create(Sequential network, ulong seed, Device device, ModelOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(options.InferenceBatch);
        using GraphBuilder graph = GraphBuilder.Build(network);
        int output = graph.Output;
        var desc = new MnModelDesc
        {
            StructSize = (uint)sizeof(MnModelDesc),
            Flags = (options.Fusion ? 0 : (uint)MnModelFlag.NoFusion) | (options.DrawParameters ? 0 : (uint)MnModelFlag.NoInit),
            Seed = seed,
            Outputs = &output,
            OutputCount = 1,
            InferenceBatch = options.InferenceBatch,
            Precision = (int)options.Precision,
        };
        ulong value;
        DeviceHandle deviceHandle = device.Handle;
        using (NativeHandle.Lease lease = deviceHandle.Use())
        {
            Native.Check(NativeMethods.ModelCreate(lease.Value, graph.Value, &desc, &value));
        }

        var handle = new ModelHandle(value, deviceHandle);
        try
        {
            return new Model(network, device, seed, options, handle, graph);
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

    /// <summary>Throws if a loss compares with values that the data set does not have.</summary>
    internal void CheckTargets(IImageDataset data, Loss loss, [CallerArgumentExpression(nameof(data))] string? paramName = null)
    {
        int length = (data as ImageDataset)?.TargetLength ?? 0;
        if (loss is TargetLoss && length != OutputLength)
        {
            throw new ArgumentException(
                $"The loss compares {OutputLength} values an image, the data set has {length}. "
                + "ImageDataset.FromMemory(images, targets, shape) makes one with targets.",
                paramName);
        }
    }

    /// <summary>A parameter as the native library describes it.</summary>
    /// <exception cref="ArgumentException">It has more values than an array can hold.</exception>
    internal static unsafe ParameterInfo ToParameter(MnParameterInfo info, IReadOnlySet<int> pixelLinears)
    {
        string name = Utf8.FromNative(info.Name);
        long[] shape = NativeShape.ToArray(info.Shape);
        if (pixelLinears.Contains(info.Node) && shape is [long outputs, long inputs, 1, 1])
        {
            shape = [outputs, inputs];
        }

        if (info.Count > Array.MaxLength)
        {
            throw new ArgumentException(
                $"Parameter {name} {NativeShape.ToText(shape)} has {info.Count} values, at most {Array.MaxLength} are possible.");
        }

        bool isCounter = info.Trainable == 0 && name.EndsWith(".num_batches_tracked", StringComparison.Ordinal);
        return new ParameterInfo(name, isCounter ? [] : shape, (int)info.Count, info.Trainable != 0) { IsCounter = isCounter };
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
            parameters[i] = ToParameter(info, pixelLinears);
        }

        return parameters;
    }
}
