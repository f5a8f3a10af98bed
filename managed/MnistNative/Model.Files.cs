using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

/// <summary>What <see cref="Model.LoadParameters(string, bool)"/> took over, and what it did not.</summary>
/// <param name="Loaded">Parameters of the model that have the file's values now.</param>
/// <param name="Missing">Parameters of the model that the file does not have; they keep their values.</param>
/// <param name="Unexpected">Tensors of the file that the model does not have; they were ignored.</param>
/// <param name="Mismatched">
/// Parameters of the model whose tensors have another shape, or a type that cannot be read; they keep their values.
/// </param>
public sealed record LoadResult(
    IReadOnlyList<string> Loaded,
    IReadOnlyList<string> Missing,
    IReadOnlyList<string> Unexpected,
    IReadOnlyList<MismatchedParameter> Mismatched);

/// <summary>A parameter whose tensor in a file does not fit it.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Shape">Its dimensions in the model.</param>
/// <param name="FileShape">Its dimensions in the file.</param>
/// <param name="FileType">Type of its elements in the file, as safetensors call it, for example <c>F32</c>.</param>
public sealed record MismatchedParameter(
    string Name, IReadOnlyList<long> Shape, IReadOnlyList<long> FileShape, string FileType)
{
    /// <summary>For example <c>fc.weight is 1000×512 instead of 3×512</c>.</summary>
    public override string ToString() => FileShape.SequenceEqual(Shape)
        ? $"{Name} is of type {FileType}, which cannot be read as floats"
        : $"{Name} is {NativeShape.ToText(FileShape)} instead of {NativeShape.ToText(Shape)}";
}

public sealed partial class Model
{
    // Where model files keep the loss.
    private const string LossKey = "mnistnative.loss";

    /// <summary>
    /// Writes the network and its parameters to a safetensors file, with PyTorch's names and layouts, which
    /// <see cref="Load"/> reads and Python's <c>safetensors.torch.load_file</c> too. The file is written beside, flushed
    /// and renamed: at any moment there is the old file or the new one, whole. PyTorch: <c>torch.save(state_dict)</c>;
    /// Keras: <c>save</c>.
    /// </summary>
    /// <param name="path">
    /// The file, by custom ending in <c>.safetensors</c>; if it exists it is replaced and keeps its permissions and its owner. Of
    /// a symbolic link the target is written; a folder, FIFO or disk is refused. A file with several names (hard links), or
    /// one that cannot be replaced, such as a mounted one, is overwritten in place, which is not atomic.
    /// </param>
    /// <remarks>
    /// Between two steps of a training; during one, parameters of different steps may be mixed.
    /// <see cref="WritablePath.Check"/> tries the path beforehand.
    /// </remarks>
    /// <exception cref="IOException">The file cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be written.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public void Save(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        using NativeHandle.Lease lease = _handle.Use();
        var metadata = new Dictionary<string, string>
        {
            ["format"] = "pt",
            [ArchitectureFormat.MetadataKey] = ArchitectureFormat.Write(Network),
        };
        AddLossTo(metadata);
        SafeTensorsWriter.Write(
            path,
            metadata,
            [.. Parameters.Select(parameter => new TensorToWrite(parameter.Name, parameter.Shape, parameter.Count, parameter.IsCounter))],
            (index, values) => Read(index, MnParameterPart.Value, values));
    }

    /// <summary>
    /// Makes a model of a file that <see cref="Save"/> or <see cref="Trainer.SaveCheckpoint(string)"/> wrote. Keras:
    /// <c>load_model</c>.
    /// </summary>
    /// <param name="path">The file.</param>
    /// <param name="device">Where the model computes; <see cref="Device.Default"/> when null.</param>
    /// <param name="options">Options for special purposes.</param>
    /// <returns>The model; dispose it to give its memory back.</returns>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="InvalidDataException">
    /// The file is damaged or holds no network; the text says what is wrong. Files of PyTorch hold parameters only: build
    /// the network and use <see cref="LoadParameters(string, bool)"/>.
    /// </exception>
    public static Model Load(string path, Device? device = null, ModelOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        using SafeTensorsReader file = SafeTensorsReader.Open(path);
        if (!file.Metadata.TryGetValue(ArchitectureFormat.MetadataKey, out string? text))
        {
            throw new InvalidDataException(
                $"\"{path}\" holds parameters only, without a network. Build the network and use LoadParameters.");
        }

        // Whether the tensors fit is asked before the network costs memory: the file's size does not bound what it describes.
        Model model;
        ParameterMatch match;
        try
        {
            Sequential network = ArchitectureFormat.Read(text);
            using (GraphBuilder graph = GraphBuilder.Build(network))
            {
                match = ParameterMatch.Find(file, graph.DescribeParameters());
            }

            match.ThrowUnlessComplete();
            model = network.Build(
                Checkpoint.SeedIn(file) ?? 0, device, (options ?? new ModelOptions()) with { DrawParameters = false });
        }
        catch (Exception e) when (e is FormatException or ArgumentException)
        {
            throw file.Bad($"its network cannot be read: {e.Message.TrimEnd('.')}", e);
        }

        try
        {
            model.TakeOver(file, match);
            model.TrainedWith = LossIn(file);
            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Takes over the parameters in a safetensors file, for example one that PyTorch wrote. Other floating-point types
    /// than float32 are converted. PyTorch: <c>load_state_dict</c>; Keras: <c>load_weights</c>.
    /// </summary>
    /// <param name="path">The file.</param>
    /// <param name="strict">
    /// Whether the file must have exactly the model's parameters. If not, what fits is taken over, and the rest is reported in
    /// the result: missing and unexpected names, and tensors of another shape, such as a head of other classes.
    /// </param>
    /// <returns>What was taken over, and what did not match: nothing if strict.</returns>
    /// <remarks>
    /// A counter <c>num_batches_tracked</c> may be of any type and of shape [] or [1]; where older files of PyTorch have none, it
    /// is 0.
    /// Predictions of other threads see either all of the old parameters or all of the new ones: a model can be reloaded
    /// while it serves.
    /// </remarks>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="InvalidDataException">
    /// The file is damaged, or its tensors do not fit; the text names all that are missing, unexpected or of another
    /// shape. The model is as it was.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public LoadResult LoadParameters(string path, bool strict = true)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        using SafeTensorsReader file = SafeTensorsReader.Open(path);
        return LoadParameters(file, strict, []);
    }

    // `state`: what else is written with the parameters, all or none.
    internal LoadResult LoadParameters(SafeTensorsReader file, bool strict, IReadOnlyList<ParameterWrite> state)
    {
        using NativeHandle.Lease lease = _handle.Use();
        ParameterMatch match = ParameterMatch.Find(file, Parameters);
        if (strict)
        {
            match.ThrowUnlessComplete();
        }

        WriteAll([
            .. match.Found.Select(found => new ParameterWrite(found.Index, ReadNew(file, found.Index, found.Tensor))),
            .. match.Zero.Select(index => new ParameterWrite(index, [0])),
            .. state,
        ]);
        return new LoadResult(
            [.. match.Found.Select(found => Parameters[found.Index].Name)], match.Missing, match.Unexpected, match.Mismatched);
    }

    /// <summary>Writes down with which loss of values the model was trained, for <see cref="TrainedWith"/>.</summary>
    internal void AddLossTo(Dictionary<string, string> metadata)
    {
        if (TrainedWith is { } kind)
        {
            metadata[LossKey] = kind.ToString();
        }
    }

    private static MnLossKind? LossIn(SafeTensorsReader file) =>
        file.Metadata.TryGetValue(LossKey, out string? name) && Enum.TryParse(name, out MnLossKind kind) && Enum.IsDefined(kind)
            ? kind
            : null;

    // Of a model that nobody else has yet: one parameter after another, so that the file is in memory once.
    private void TakeOver(SafeTensorsReader file, ParameterMatch match)
    {
        int largest = match.Found.Select(found => Parameters[found.Index].ExactCount).DefaultIfEmpty().Max();
        float[] buffer = GC.AllocateUninitializedArray<float>(largest);
        foreach ((int index, TensorEntry tensor) in match.Found)
        {
            Span<float> values = buffer.AsSpan(0, Parameters[index].ExactCount);
            ReadInto(file, index, tensor, values);
            Write(index, values);
        }
    }

    private float[] ReadNew(SafeTensorsReader file, int index, TensorEntry tensor)
    {
        float[] values = GC.AllocateUninitializedArray<float>(Parameters[index].ExactCount);
        ReadInto(file, index, tensor, values);
        return values;
    }

    private void ReadInto(SafeTensorsReader file, int index, TensorEntry tensor, Span<float> values)
    {
        if (Parameters[index].IsCounter)
        {
            ParameterInfo.SplitCounter(file.ReadCounter(tensor), values);
        }
        else
        {
            file.Read(tensor, values);
        }
    }
}
