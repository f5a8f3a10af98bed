using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

/// <summary>What <see cref="Model.LoadParameters(string, bool)"/> did not match.</summary>
/// <param name="Missing">Parameters of the model that the file does not have; they keep their values.</param>
/// <param name="Unexpected">Tensors of the file that the model does not have; they were ignored.</param>
public sealed record LoadResult(IReadOnlyList<string> Missing, IReadOnlyList<string> Unexpected);

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
    /// <param name="path">The file, by custom ending in <c>.safetensors</c>; replaced if it exists.</param>
    /// <remarks>Between two steps of a training; during one, parameters of different steps may be mixed.</remarks>
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

        Model model;
        try
        {
            model = ArchitectureFormat.Read(text).Build(Checkpoint.SeedIn(file) ?? 0, device, options);
        }
        catch (Exception e) when (e is FormatException or ArgumentException)
        {
            throw file.Bad($"its network cannot be read: {e.Message.TrimEnd('.')}", e);
        }

        try
        {
            model.LoadParameters(file, strict: true, []);
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
    /// Whether the file must have exactly the model's parameters. If not, missing and unexpected names are reported in
    /// the result; a wrong shape is refused in either case.
    /// </param>
    /// <returns>The names that did not match, none if strict.</returns>
    /// <remarks>
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
        var missing = new List<string>();
        var wrong = new List<string>();
        foreach (ParameterInfo parameter in Parameters)
        {
            if (!file.TryGet(parameter.Name, out TensorEntry? tensor))
            {
                missing.Add(parameter.Name);
            }
            else if (!tensor.Shape.SequenceEqual(parameter.Shape))
            {
                wrong.Add($"{parameter.Name} is {NativeShape.ToText(tensor.Shape)} instead of {NativeShape.ToText(parameter.Shape)}");
            }
            else if (!tensor.Type.IsFloat && !(parameter.IsCounter && tensor.Type == TensorType.I64))
            {
                wrong.Add($"{parameter.Name} is of type {tensor.Type.Name}, which cannot be read as floats");
            }
        }

        // A checkpoint has the optimizer's state, too, which belongs to no parameter of the network.
        bool isCheckpoint = Checkpoint.SeedIn(file) is not null;
        string prefix = Checkpoint.PrefixFor(Parameters);
        List<string> unexpected =
        [
            .. file.Tensors
                .Select(tensor => tensor.Name)
                .Where(name => !_parameterIndex.ContainsKey(name)
                    && !(isCheckpoint && name.StartsWith(prefix, StringComparison.Ordinal))),
        ];
        ThrowUnlessFitting(file, strict ? missing : [], strict ? unexpected : [], wrong);

        var writes = new List<ParameterWrite>();
        for (int i = 0; i < Parameters.Count; i++)
        {
            if (file.TryGet(Parameters[i].Name, out TensorEntry? tensor))
            {
                float[] values = new float[Parameters[i].Count];
                file.Read(tensor, values);
                writes.Add(new ParameterWrite(i, values));
            }
        }

        writes.AddRange(state);
        WriteAll(writes);
        return new LoadResult(missing, unexpected);
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

    private static void ThrowUnlessFitting(
        SafeTensorsReader file, List<string> missing, List<string> unexpected, List<string> wrong)
    {
        var problems = new List<string>();
        AddTo(problems, "missing: ", missing);
        AddTo(problems, "unexpected: ", unexpected);
        AddTo(problems, "", wrong);
        if (problems.Count > 0)
        {
            throw new InvalidDataException(
                $"The parameters in \"{file.Path}\" do not fit the network: {string.Join("; ", problems)}.");
        }

        static void AddTo(List<string> problems, string what, List<string> names)
        {
            if (names.Count > 0)
            {
                problems.Add(what + string.Join(", ", names));
            }
        }
    }
}
