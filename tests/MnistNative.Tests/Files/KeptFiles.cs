using System.Buffers.Binary;
using System.Text.Json;

namespace MnistNative.Tests.Files;

/// <summary>
/// What stands in <c>tests/files</c>: networks with every kind of layer, and trainings with every state of an optimizer.
/// </summary>
internal static class KeptFiles
{
    /// <summary>Steps before a trainer's checkpoint is written, and steps that its expected losses are of.</summary>
    private const int StepsBefore = 3;
    private const int StepsAfter = 3;
    /// <summary>Images in the input of a network.</summary>
    public const int Batch = 4;

    /// <summary>Name of the file of inputs, outputs and losses beside the others.</summary>
    public const string ExpectedFile = "expected.safetensors";

    /// <summary>Networks which together have every kind of layer, and options that are no defaults.</summary>
    public static readonly IReadOnlyDictionary<string, Sequential> Networks = new Dictionary<string, Sequential>
    {
        ["convolutions"] = Sequential.Input(4, 8, 8)
            .Normalize(mean: [0.1f, 0.2f, 0.3f, 0.4f], std: [0.5f, 0.6f, 0.7f, 0.8f])
            .Conv2d(8, (3, 2), stride: (2, 1), padding: (1, 0), dilation: (1, 2), groups: 2, bias: false, name: "first")
            .BatchNorm2d(epsilon: 1e-3f, momentum: 0.2f).ReLU6()
            .Conv2d(8, 3, padding: Padding.Same, paddingMode: PaddingMode.Reflect).ELU(0.7f)
            .Conv2d(8, 3, padding: 1, paddingMode: PaddingMode.Replicate).LeakyReLU(0.2f)
            .Conv2d(8, 3, padding: 1, paddingMode: PaddingMode.Circular).ReLU()
            .ConvTranspose2d(6, 3, stride: 2, padding: 1, outputPadding: 1, groups: 2, bias: false).Softplus(2, 10)
            .Flatten().Linear(5, bias: false).Softmax(),
        ["pools"] = Sequential.Input(3, 12, 12)
            .Conv2d(4, 1).MaxPool2d(2, name: "pool").Tanh().MaxUnpool2d("pool")
            .AvgPool2d(3, stride: 2, padding: 1, ceilMode: true, countIncludePad: false)
            .MaxPool2d((3, 2), stride: 1, padding: 1, ceilMode: true, dilation: 2)
            .Upsample(2, UpsampleMode.Bilinear, alignCorners: true).Upsample((1, 2))
            .AdaptiveAvgPool2d((5, 4)).AdaptiveMaxPool2d((3, 2))
            .Concat("both", a => a.GlobalAvgPool2d(), b => b.GlobalMaxPool2d())
            .Flatten().Linear(4).LogSoftmax(),
        ["normalisations"] = Sequential.Input(8, 6, 6)
            .LayerNorm(1e-4f).GroupNorm(2, 1e-4f, affine: false).InstanceNorm2d(1e-4f, affine: true)
            .LocalResponseNorm(3, 1e-3f, 0.5f, 2).LayerNorm(channelsOnly: true).BatchNorm2d(affine: false)
            .Dropout2d(0.25f).PixelLinear(6, bias: false).ChannelShuffle(2).Slice(1, 4)
            .Scale(0.5f, parameterName: "gamma", name: "scale").Reshape("again", 2, 12, 6)
            .GroupNorm(2).Flatten().Linear(4),
        ["branches"] = Sequential.Input(4, 6, 6)
            .Residual(b => b.Conv2d(8, 3, padding: 1).StochasticDepth(0.2f), shortcut: s => s.Conv2d(8, 1))
            .Residual(b => b.Conv2d(8, 3, padding: 1, groups: 8), name: "plain")
            .Add(a => a.ReLU(), b => b.Conv2d(8, 1)).Subtract(a => a.Conv2d(8, 1), b => b.Tanh(), name: "minus")
            .Multiply(gate => gate.GlobalAvgPool2d().PixelLinear(8).Sigmoid())
            .Concat(a => a.Conv2d(3, 1), b => b.Conv2d(5, 1), c => c)
            .Split(a => a.Conv2d(4, 1), b => b)
            .Highway(t => t.Conv2d(12, 1), g => g.Conv2d(12, 1).Sigmoid())
            .Block("body", b => b.Block("inner", i => i.Conv2d(6, 3, name: "conv")).ReLU())
            .Head("early", 0.3f, h => h.Flatten().Linear(4))
            .Flatten().Linear(4),
        ["activations"] = Sequential.Input(10)
            .Linear(9).Hardswish().Linear(9).Hardsigmoid().Linear(9).GELU().Linear(9).GELU(approximate: true)
            .Linear(9).SiLU().Linear(9).Sigmoid().BatchNorm1d().Linear(9).Tanh().Dropout(0.3f).Linear(3),
        ["rectifiers"] = Sequential.Input(10)
            .Linear(9).Mish().Linear(9).Hardtanh(-0.5f, 0.75f).Linear(9).Softsign().Linear(9).Threshold(0.1f, -0.2f)
            .Linear(9).PReLU(9, 0.1f).Linear(9).PReLU().Linear(3),
        ["text"] = Sequential.Input(8)
            .Embedding(20, 6).Conv1d(6, 3, stride: 1, padding: 1, bias: false).BatchNorm1d(epsilon: 1e-3f, momentum: 0.3f)
            .MaxPool1d(3, stride: 1, padding: 1).AvgPool1d(2, padding: 1, ceilMode: true, countIncludePad: false)
            .Flatten().Linear(3),
        ["sequence"] = Sequential.Input(4, 16)
            .Conv1d(8, 3, padding: Padding.Same, dilation: 2, groups: 2, paddingMode: PaddingMode.Reflect).ReLU()
            .MaxPool1d(2, dilation: 2).Flatten().Linear(3),
    };

    /// <summary>Optimizers, one for each combination of states that a checkpoint can hold.</summary>
    public static readonly IReadOnlyDictionary<string, Optimizer> Optimizers = new Dictionary<string, Optimizer>
    {
        ["sgd"] = new Sgd(0.05f, WeightDecay: 0.01f),
        ["sgd-momentum"] = new Sgd(0.05f, 0.9f, Dampening: 0.3f),
        ["sgd-nesterov"] = new Sgd(0.05f, 0.9f, Nesterov: true),
        ["adam"] = new Adam(0.01f, Beta1: 0.8f, Beta2: 0.99f, Epsilon: 1e-5f),
        ["adam-amsgrad"] = new Adam(0.01f, Epsilon: 1e-5f, WeightDecay: 0.01f, Amsgrad: true),
        ["adamw"] = new AdamW(0.01f, Epsilon: 1e-5f),
        ["adamw-amsgrad"] = new AdamW(0.01f, Epsilon: 1e-5f, Amsgrad: true),
        ["rmsprop"] = new RmsProp(0.001f, Epsilon: 1e-5f),
        ["rmsprop-momentum"] = new RmsProp(0.001f, Epsilon: 1e-5f, Momentum: 0.5f),
        ["rmsprop-centered"] = new RmsProp(0.001f, Epsilon: 1e-3f, Centered: true),
        ["rmsprop-all"] = new RmsProp(0.001f, Epsilon: 1e-3f, Momentum: 0.5f, WeightDecay: 0.01f, Centered: true),
        ["adam-frozen"] = new Adam(0.01f, Epsilon: 1e-5f),
    };

    /// <summary>Trainings of <see cref="Epochs"/> epochs, which are interrupted after <see cref="EpochsBefore"/>.</summary>
    public static readonly IReadOnlyDictionary<string, FitOptions> Fits = new Dictionary<string, FitOptions>
    {
        ["fit-plateau"] = new()
        {
            Optimizer = new Adam(0.01f, Epsilon: 1e-5f),
            Schedule = new ReduceOnPlateau(Patience: 1),
            EarlyStopping = new EarlyStopping(Patience: 9),
        },
        ["fit-onecycle"] = new()
        {
            Optimizer = new Sgd(0.05f, 0.9f),
            Schedule = new OneCycleLr(),
            EarlyStopping = new EarlyStopping(Patience: 9, Monitor: EarlyStoppingMetric.ValidationAccuracy, RestoreBest: false),
        },
        ["fit-warmup"] = new()
        {
            Optimizer = new RmsProp(0.001f, Epsilon: 1e-3f),
            Schedule = new LinearWarmup(4, 0.1, new ReduceOnPlateau(Patience: 1)),
            ClipNorm = 1,
        },
    };

    private const int Epochs = 4;
    private const int EpochsBefore = 2;

    private static readonly ImageShape s_shape = new(1, 6, 6);

    /// <summary>What checkpoints are of; a block may have the name that the optimizer's tensors begin with.</summary>
    private static readonly Sequential s_trained = Sequential.Input(s_shape)
        .Conv2d(3, 3, bias: false).BatchNorm2d().ReLU()
        .Block("optimizer", o => o.Flatten().Dropout(0.3f).Linear(5).ReLU())
        .Linear(3);

    /// <summary>Names of all files but <see cref="ExpectedFile"/>, without the extension.</summary>
    public static IEnumerable<string> Names => [.. Networks.Keys, .. Optimizers.Keys, .. Fits.Keys];

    /// <summary>Writes all files with the present version.</summary>
    public static void Write(string folder)
    {
        var expected = new Dictionary<string, float[]>();
        foreach ((string name, Sequential network) in Networks)
        {
            using Model model = network.Build(seed: 7);
            using (Trainer trainer = model.CreateTrainer(new Sgd(0.05f), Batch, Loss.OutputGradient()))
            {
                for (int step = 0; step < 2; step++)
                {
                    trainer.Step(Input(model, step), Numbers(Batch * model.OutputLength, step));
                }
            }

            model.Save(Path.Combine(folder, name + ".safetensors"));
            expected[$"{name}/input"] = Input(model, 5);
            expected[$"{name}/output"] = model.Forward(expected[$"{name}/input"], Batch);
        }

        foreach (string name in Optimizers.Keys)
        {
            using Model model = s_trained.Build(seed: 7);
            using Trainer trainer = CreateTrainer(name, model);
            _ = Steps(trainer, 0, StepsBefore);
            trainer.LearningRate *= 0.5f;
            trainer.SaveCheckpoint(Path.Combine(folder, name + ".safetensors"));
            expected[$"{name}/losses"] = Continue(trainer);
            expected[$"{name}/parameters"] = ParametersOf(model);
        }

        foreach (string name in Fits.Keys)
        {
            string path = Path.Combine(folder, name + ".safetensors");
            using Model model = s_trained.Build(seed: 7);
            using var interrupt = new CancellationTokenSource();
            void Stop(BatchResult batch)
            {
                if (batch.Epoch > EpochsBefore)
                {
                    interrupt.Cancel();
                }
            }

            Assert.ThrowsAny<OperationCanceledException>(() => model.Fit(
                Data(1), Complete(Fits[name]) with { Checkpoint = path, OnBatch = Stop }, cancellationToken: interrupt.Token));
            using Model resumed = Model.Load(path);
            expected[$"{name}/losses"] = Resume(name, resumed, path);
            expected[$"{name}/parameters"] = ParametersOf(resumed);
        }

        WriteExpected(Path.Combine(folder, ExpectedFile), expected);
    }

    /// <summary>A trainer as the one that wrote the checkpoint of that name.</summary>
    public static Trainer CreateTrainer(string name, Model model) => model.CreateTrainer(
        Optimizers[name],
        Batch,
        new TrainerOptions
        {
            ParameterGroups = name.EndsWith("-frozen", StringComparison.Ordinal)
                ? [new ParameterGroup(parameter => parameter.Name.StartsWith("0.", StringComparison.Ordinal)) { Frozen = true }]
                : [],
        });

    /// <summary>The steps after the checkpoint, and their losses.</summary>
    public static float[] Continue(Trainer trainer) => Steps(trainer, StepsBefore, StepsAfter);

    /// <summary>The epochs after the checkpoint of a <see cref="Model.Fit"/>, and their losses.</summary>
    public static float[] Resume(string name, Model model, string path) =>
        [.. model.Fit(Data(1), Complete(Fits[name]) with { ResumeFrom = path }).Epochs.Select(epoch => (float)epoch.Loss)];

    /// <summary>All parameters, one after another.</summary>
    public static float[] ParametersOf(Model model) => [.. model.Parameters.SelectMany(parameter => model.GetParameter(parameter.Name))];

    private static FitOptions Complete(FitOptions options) => options with
    {
        Epochs = Epochs,
        BatchSize = 6,
        Seed = 11,
        Validation = options.EarlyStopping is null ? null : Data(2),
    };

    private static float[] Steps(Trainer trainer, int first, int count)
    {
        float[] losses = new float[count];
        for (int i = 0; i < count; i++)
        {
            int step = first + i;
            losses[i] = (float)trainer.Step(Numbers(Batch * s_shape.Length, step), [step % 3, (step + 1) % 3, 2, 0]).Loss;
        }

        return losses;
    }

    private static ImageDataset Data(int seed) => ImageDataset.FromMemory(
        Numbers(30 * s_shape.Length, seed), Enumerable.Range(0, 30).Select(i => ((i * i) + seed) % 3).ToArray(), s_shape, 3);

    private static float[] Input(Model model, int seed)
    {
        float[] numbers = Numbers(Batch * model.InputShape.Length, seed);
        bool words = model.Parameters[0].Shape is [20, 6];
        return words ? [.. numbers.Select(number => MathF.Floor((number + 1) * 9.99f))] : numbers;
    }

    /// <summary>Numbers between -1 and 1 by a formula that no library changes.</summary>
    private static float[] Numbers(int count, int seed) =>
        [.. Enumerable.Range(0, count).Select(i => ((((i + 1) * 7919L) + (seed * 104729L) + (i * (long)i * 31)) % 2001 / 1000f) - 1)];

    private static void WriteExpected(string path, Dictionary<string, float[]> values)
    {
        (string, long[], float[])[] tensors = [.. values.Select(pair => (pair.Key, new long[] { pair.Value.Length }, pair.Value))];
        File.WriteAllBytes(path, SafeTensorsBytes.Make(tensors));
    }
}

/// <summary>
/// A safetensors file as it stands on the disk, by a reader of its own, so that the library does not judge itself.
/// </summary>
internal sealed class RawFile
{
    public RawFile(string path)
    {
        byte[] bytes = File.ReadAllBytes(path);
        int start = 8 + (int)BinaryPrimitives.ReadInt64LittleEndian(bytes);
        using JsonDocument header = JsonDocument.Parse(bytes.AsMemory(8, start - 8));
        foreach (JsonProperty entry in header.RootElement.EnumerateObject())
        {
            if (entry.Name == "__metadata__")
            {
                Metadata = entry.Value.EnumerateObject().ToDictionary(pair => pair.Name, pair => pair.Value.GetString()!);
                continue;
            }

            JsonElement offsets = entry.Value.GetProperty("data_offsets");
            Tensors[entry.Name] = bytes[(start + offsets[0].GetInt32())..(start + offsets[1].GetInt32())];
            Types[entry.Name] = $"{entry.Value.GetProperty("dtype").GetString()} {entry.Value.GetProperty("shape").GetRawText()}";
        }
    }

    public Dictionary<string, string> Metadata { get; } = [];

    public Dictionary<string, byte[]> Tensors { get; } = [];

    /// <summary>Type and shape of each tensor, for example <c>F32 [3,4]</c>.</summary>
    public Dictionary<string, string> Types { get; } = [];

    public float[] Floats(string name)
    {
        bool whole = Types[name].StartsWith("I64", StringComparison.Ordinal);
        byte[] bytes = Tensors[name];
        float[] values = new float[bytes.Length / (whole ? 8 : 4)];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = whole
                ? BinaryPrimitives.ReadInt64LittleEndian(bytes.AsSpan(8 * i))
                : BinaryPrimitives.ReadSingleLittleEndian(bytes.AsSpan(4 * i));
        }

        return values;
    }
}
