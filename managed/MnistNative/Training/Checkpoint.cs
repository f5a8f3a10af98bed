using System.Globalization;
using System.Text.Json;
using MnistNative.Interop;
using MnistNative.IO;

namespace MnistNative;

/// <summary>What <see cref="Model.Fit"/> knows of its training besides what the trainer knows.</summary>
/// <param name="Epochs">Epochs that have ended.</param>
internal sealed record FitState(int Epochs)
{
    /// <summary>See <see cref="ScheduleRun.State"/>.</summary>
    public IReadOnlyList<double> Schedule { get; init; } = [];

    /// <summary>See <see cref="EarlyStoppingRun.State"/>; empty without early stopping.</summary>
    public IReadOnlyList<double> Stopping { get; init; } = [];

    /// <summary>See <see cref="EarlyStoppingRun.BestParameters"/>.</summary>
    public IReadOnlyList<float[]> BestParameters { get; init; } = [];
}

/// <summary>
/// Files from which a training goes on with the same bits: a model file with the optimizer's state beside the
/// parameters, and counters in the metadata.
/// </summary>
internal static unsafe class Checkpoint
{
    private const string MetadataKey = "mnistnative.training";

    private static readonly (MnParameterPart Part, string Name)[] s_parts =
    [
        (MnParameterPart.Moment1, "moment1"), (MnParameterPart.Moment2, "moment2"), (MnParameterPart.Moment3, "moment3"),
    ];

    /// <summary>
    /// How the names of the training's tensors begin: <c>optimizer.</c>, with as many underscores before as it takes that no
    /// parameter's name begins so.
    /// </summary>
    public static string PrefixFor(IReadOnlyList<ParameterInfo> parameters)
    {
        string prefix = "optimizer.";
        while (parameters.Any(parameter => parameter.Name.StartsWith(prefix, StringComparison.Ordinal)))
        {
            prefix = "_" + prefix;
        }

        return prefix;
    }

    private static string BestPrefixFor(Model model) => PrefixFor(model.Parameters) + "best.";

    /// <summary>The seed of the model that a file was written from; null if it is no checkpoint.</summary>
    /// <exception cref="InvalidDataException">The counters are damaged.</exception>
    public static ulong? SeedIn(SafeTensorsReader file) =>
        file.Metadata.ContainsKey(MetadataKey) ? ReadState(file).Seed : null;

    /// <summary>Writes a checkpoint.</summary>
    /// <param name="path">The file, which is replaced if it exists.</param>
    /// <param name="model">The model.</param>
    /// <param name="optimizer">Its trainer's optimizer.</param>
    /// <param name="progress">How far the training has come.</param>
    /// <param name="updates">How often each parameter was updated.</param>
    /// <param name="fit">What the epochs' loop knows.</param>
    public static void Write(
        string path, Model model, Optimizer optimizer, MnTrainingProgress progress, long[] updates, FitState fit)
    {
        var state = new State(model.Seed, progress.Updates, updates, progress.Batches, progress.LearningRate, fit);
        var tensors = new List<TensorToWrite>();
        var sources = new List<(int Index, MnParameterPart Part)>();
        for (int i = 0; i < model.Parameters.Count; i++)
        {
            ParameterInfo parameter = model.Parameters[i];
            tensors.Add(new TensorToWrite(parameter.Name, parameter.Shape, parameter.Count, parameter.IsCounter));
            sources.Add((i, MnParameterPart.Value));
        }

        foreach ((int index, MnParameterPart part, string name) in Moments(model, optimizer))
        {
            tensors.Add(new TensorToWrite(name, model.Parameters[index].Shape, model.Parameters[index].Count));
            sources.Add((index, part));
        }

        int best = tensors.Count;
        string bestPrefix = BestPrefixFor(model);
        tensors.AddRange(fit.BestParameters.Select((_, i) =>
            new TensorToWrite(bestPrefix + model.Parameters[i].Name, model.Parameters[i].Shape, model.Parameters[i].Count)));

        var metadata = new Dictionary<string, string>
        {
            ["format"] = "pt",
            [ArchitectureFormat.MetadataKey] = ArchitectureFormat.Write(model.Network),
            [MetadataKey] = state.ToText(),
        };
        model.AddLossTo(metadata);
        SafeTensorsWriter.Write(path, metadata, tensors, (i, values) =>
        {
            if (i < best)
            {
                model.Read(sources[i].Index, sources[i].Part, values);
            }
            else
            {
                fit.BestParameters[i - best].CopyTo(values);
            }
        });
    }

    /// <summary>Takes over parameters and the optimizer's state; nothing is changed if the file does not fit.</summary>
    /// <param name="path">The file.</param>
    /// <param name="model">The model, which is being trained.</param>
    /// <param name="optimizer">Its trainer's optimizer.</param>
    /// <param name="updates">Receives how often each parameter was updated.</param>
    /// <param name="fit">Receives what the epochs' loop knew.</param>
    /// <returns>How far the training had come.</returns>
    /// <exception cref="InvalidDataException">The file is damaged, no checkpoint, or of another training.</exception>
    public static MnTrainingProgress Read(string path, Model model, Optimizer optimizer, out long[] updates, out FitState fit)
    {
        using SafeTensorsReader file = SafeTensorsReader.Open(path);
        if (!file.Metadata.ContainsKey(MetadataKey))
        {
            throw file.Bad("it holds no state of a training; SaveCheckpoint writes such files");
        }

        State state = ReadState(file);
        if (state.Seed != model.Seed)
        {
            throw file.Bad(
                $"it is of a model with seed {state.Seed}, this one has {model.Seed}: random numbers would not go on. "
                + "Build the model with that seed, or load it from the file");
        }

        var moments = new List<(int Index, MnParameterPart Part, TensorEntry Tensor)>();
        foreach ((int index, MnParameterPart part, string name) in Moments(model, optimizer))
        {
            ParameterInfo parameter = model.Parameters[index];
            if (!file.TryGet(name, out TensorEntry? tensor) || tensor.Type != TensorType.F32
                || !tensor.Shape.SequenceEqual(parameter.Shape))
            {
                throw file.Bad($"it has no \"{name}\" of {NativeShape.ToText(parameter.Shape)}: it is of another optimizer");
            }

            moments.Add((index, part, tensor));
        }

        string prefix = PrefixFor(model.Parameters);
        string bestPrefix = BestPrefixFor(model);
        int states = file.Tensors.Count(tensor =>
            tensor.Name.StartsWith(prefix, StringComparison.Ordinal) && !tensor.Name.StartsWith(bestPrefix, StringComparison.Ordinal));
        if (states != moments.Count)
        {
            throw file.Bad($"it has {states} tensors of an optimizer, this one needs {moments.Count}: it is of another optimizer");
        }

        if (state.ParameterUpdates.Count != 0 && (state.ParameterUpdates.Count != model.Parameters.Count
            || state.ParameterUpdates.Where((count, i) => count != 0 && !model.Parameters[i].IsTrainable).Any()))
        {
            throw file.Bad("its counters of updates are not those of this model's parameters");
        }

        float[][] best = ReadBest(file, model);
        var writes = new List<ParameterWrite>();
        foreach ((int index, MnParameterPart part, TensorEntry tensor) in moments)
        {
            float[] values = new float[tensor.Count];
            file.Read(tensor, values);
            writes.Add(new ParameterWrite(index, values, part));
        }

        model.LoadParameters(file, strict: true, writes);
        updates = state.ParameterUpdates.Count != 0 ? [.. state.ParameterUpdates] : UpdatesOf(model, state.Updates, writes);
        fit = state.Fit with { BestParameters = best };
        return new MnTrainingProgress
        {
            StructSize = (uint)sizeof(MnTrainingProgress),
            Updates = state.Updates,
            Batches = state.Batches,
            LearningRate = state.LearningRate,
        };
    }

    // Files of former versions have one counter for all: it is that of the parameters whose moments have moved. Others were
    // frozen, and begin.
    private static long[] UpdatesOf(Model model, long updates, List<ParameterWrite> moments)
    {
        long[] counts = [.. model.Parameters.Select(parameter => parameter.IsTrainable ? updates : 0)];
        foreach (IGrouping<int, ParameterWrite> parts in moments.GroupBy(moment => moment.Index))
        {
            if (parts.MaxBy(moment => moment.Part == MnParameterPart.Moment2).Values.AsSpan().IndexOfAnyExcept(0f) < 0)
            {
                counts[parts.Key] = 0;
            }
        }

        return counts;
    }

    private static IEnumerable<(int Index, MnParameterPart Part, string Name)> Moments(Model model, Optimizer optimizer)
    {
        uint parts = NativeTraining.MomentsOf(optimizer);
        string prefix = PrefixFor(model.Parameters);
        for (int part = 0; part < s_parts.Length; part++)
        {
            for (int i = 0; (parts >> (int)s_parts[part].Part & 1) != 0 && i < model.Parameters.Count; i++)
            {
                if (model.Parameters[i].IsTrainable)
                {
                    yield return (i, s_parts[part].Part, $"{prefix}{s_parts[part].Name}.{model.Parameters[i].Name}");
                }
            }
        }
    }

    // All parameters or none.
    private static float[][] ReadBest(SafeTensorsReader file, Model model)
    {
        string prefix = BestPrefixFor(model);
        if (!file.Tensors.Any(tensor => tensor.Name.StartsWith(prefix, StringComparison.Ordinal)))
        {
            return [];
        }

        return [.. model.Parameters.Select(parameter =>
        {
            string name = prefix + parameter.Name;
            if (!file.TryGet(name, out TensorEntry? tensor) || tensor.Type != TensorType.F32
                || !tensor.Shape.SequenceEqual(parameter.Shape))
            {
                throw file.Bad($"it has no \"{name}\" of {NativeShape.ToText(parameter.Shape)}");
            }

            float[] values = new float[tensor.Count];
            file.Read(tensor, values);
            return values;
        })];
    }

    private static State ReadState(SafeTensorsReader file)
    {
        try
        {
            return State.Parse(file.Metadata[MetadataKey]);
        }
        catch (Exception e) when (e is JsonException or FormatException or InvalidOperationException or KeyNotFoundException)
        {
            throw file.Bad($"the counters of its training cannot be read: {e.Message.TrimEnd('.')}", e);
        }
    }

    // ParameterUpdates is empty in files of former versions.
    private sealed record State(
        ulong Seed, long Updates, IReadOnlyList<long> ParameterUpdates, long Batches, float LearningRate, FitState Fit)
    {
        public static State Parse(string text)
        {
            using JsonDocument document = JsonDocument.Parse(text);
            JsonElement json = document.RootElement;
            var state = new State(
                json.GetProperty("seed").GetUInt64(),
                json.GetProperty("updates").GetInt64(),
                json.TryGetProperty("parameter_updates", out JsonElement counts)
                    ? [.. counts.EnumerateArray().Select(count => count.GetInt64())]
                    : [],
                json.GetProperty("batches").GetInt64(),
                json.GetProperty("learning_rate").GetSingle(),
                new FitState(json.GetProperty("epochs").GetInt32())
                {
                    Schedule = Numbers(json, "schedule"),
                    Stopping = Numbers(json, "stopping"),
                });
            if (state is not { Updates: >= 0, Batches: >= 0, Fit.Epochs: >= 0 } || state.ParameterUpdates.Any(count => count < 0))
            {
                throw new FormatException("a counter is negative");
            }

            if (!IsRate(state.LearningRate))
            {
                throw new FormatException($"the learning rate {state.LearningRate} is not finite, or negative");
            }

            // As ScheduleRun.State and EarlyStoppingRun.State give them; the best of what was seen may be infinite.
            bool known = (state.Fit.Schedule is [] || (state.Fit.Schedule is [double rate, _, _, _] && IsRate(rate)
                    && AreBestAndCounts(state.Fit.Schedule, 1)))
                && (state.Fit.Stopping is [] || (state.Fit.Stopping.Count == 3 && AreBestAndCounts(state.Fit.Stopping, 0)));
            return known ? state : throw new FormatException("the numbers of a schedule or of early stopping are out of range");
        }

        private static bool IsRate(double value) => double.IsFinite(value) && value >= 0;

        private static bool AreBestAndCounts(IReadOnlyList<double> numbers, int best) =>
            !double.IsNaN(numbers[best]) && numbers.Skip(best + 1).All(count => count is >= 0 and <= int.MaxValue);

        public string ToText() => string.Create(
            CultureInfo.InvariantCulture,
            $"{{\"seed\":{Seed},\"updates\":{Updates},\"parameter_updates\":[{string.Join(',', ParameterUpdates)}],\"batches\":{Batches},\"learning_rate\":{LearningRate:R},\"epochs\":{Fit.Epochs}" +
            $"{Text("schedule", Fit.Schedule)}{Text("stopping", Fit.Stopping)}}}");

        // Text, since JSON has no infinity.
        private static string Text(string name, IReadOnlyList<double> numbers) => numbers.Count == 0
            ? ""
            : $",\"{name}\":[{string.Join(',', numbers.Select(number => $"\"{number.ToString("R", CultureInfo.InvariantCulture)}\""))}]";

        private static double[] Numbers(JsonElement json, string name) => json.TryGetProperty(name, out JsonElement numbers)
            ? [.. numbers.EnumerateArray().Select(number => double.Parse(number.GetString() ?? "", CultureInfo.InvariantCulture))]
            : [];
    }
}
