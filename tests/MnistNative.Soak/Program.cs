// Uses the library for a long time, as a service would: models are built, trained, saved, loaded, used and given back,
// or forgotten for the garbage collector, while one model is trained all along. Every round of a network has to give
// the bits of its first round, and resident memory must not grow.
//
// usage: MnistNative.Soak [MINUTES]

using System.Diagnostics;
using System.Globalization;
using MnistNative;

// What a leak of some 10 kB a round makes of ten minutes.
const long MostGrowth = 8 << 20;

TimeSpan duration = TimeSpan.FromMinutes(args.Length > 0 ? double.Parse(args[0], CultureInfo.InvariantCulture) : 10);
ImageDataset train = SyntheticDigits.Generate(1000, seed: 1);
ImageDataset test = SyntheticDigits.Generate(200, seed: 2);
string file = Path.Combine(Path.GetTempPath(), $"mnistnative-soak-{Environment.ProcessId}.safetensors");

(string Name, Sequential Network)[] networks =
[
    ("convolutions", Sequential.Input(1, 28, 28)
        .Normalize(mean: 0.1307f, std: 0.3081f)
        .Conv2d(16, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
        .Conv2d(32, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
        .Flatten().Linear(64).ReLU().Linear(10)),
    ("normalised", Sequential.Input(1, 28, 28)
        .Conv2d(16, kernel: 3, stride: 2, padding: 1, bias: false).BatchNorm2d().ReLU()
        .Conv2d(16, kernel: 3, padding: 1, groups: 16, bias: false).BatchNorm2d().SiLU()
        .Conv2d(32, kernel: 1, bias: false).BatchNorm2d().ReLU()
        .GlobalAvgPool2d().Flatten().Dropout(0.2f).Linear(10)),
    ("linear", Sequential.Input(1, 28, 28).Flatten().Linear(256).GELU().LayerNorm().Linear(10)),
];

var optimizers = new Func<Optimizer>[] { () => new Adam(1e-3f), () => new Sgd(0.05f, Momentum: 0.9f), () => new AdamW(1e-3f) };
var firstOutputs = new float[networks.Length][];
List<long> resident = [];
long steps = 0;
using Model lasting = networks[0].Network.Build(seed: 7);
using Trainer trainer = lasting.CreateTrainer(new Adam(1e-4f));
int[] batch = new int[trainer.BatchSize];
var clock = Stopwatch.StartNew();
TimeSpan warmUp = duration / 4;
int warmRounds = 0;
try
{
    while (clock.Elapsed < duration || resident.Count < warmRounds + 2)
    {
        for (int network = 0; network < networks.Length; network++)
        {
            float[] outputs = Round(networks[network].Network, optimizers[network]());
            float[] expected = firstOutputs[network] ??= outputs;
            if (!outputs.AsSpan().SequenceEqual(expected))
            {
                return Fail($"{networks[network].Name}, round {resident.Count + 1}: other outputs than in the first round");
            }
        }

        for (int step = 0; step < 50; step++, steps++)
        {
            for (int i = 0; i < batch.Length; i++)
            {
                batch[i] = (int)((steps * batch.Length + i) % train.Count);
            }

            double loss = trainer.Step(train, batch).Loss;
            if (!double.IsFinite(loss))
            {
                return Fail($"step {steps} of the lasting model: the loss is {loss}");
            }
        }

        // A forgotten model is given back by its finalizer.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
        using var process = Process.GetCurrentProcess();
        resident.Add(process.WorkingSet64);
        if (clock.Elapsed < warmUp || warmRounds == 0)
        {
            warmRounds = resident.Count;
        }
    }
}
finally
{
    File.Delete(file);
}

// The most of both ends: how much is resident after a collection varies.
int last = Math.Max(1, (resident.Count - warmRounds) / 3);
long before = resident.Take(warmRounds).Max();
long after = resident.TakeLast(last).Max();
double accuracy = lasting.Evaluate(test).Accuracy ?? 0;
Console.WriteLine(
    $"{resident.Count} rounds in {clock.Elapsed.TotalMinutes:F1} minutes, {steps} steps of the lasting model " +
    $"(accuracy {accuracy:P1}); resident at most {before / 1e6:F1} MB in the first {warmRounds} rounds, " +
    $"{after / 1e6:F1} MB in the last {last}");
return after - before > MostGrowth ? Fail($"memory grew by {(after - before) / 1e6:F1} MB, more than {MostGrowth / 1e6:F1}")
    : accuracy < 0.9 ? Fail($"the lasting model's accuracy is {accuracy:P1}")
    : 0;

float[] Round(Sequential network, Optimizer optimizer)
{
    using Model model = network.Build(seed: 42);
    model.Fit(train, new FitOptions { Epochs = 1, BatchSize = 64, Optimizer = optimizer });
    _ = model.Evaluate(test);
    model.Save(file);
    Model loaded = Model.Load(file);
    float[] outputs = loaded.Forward(test.GetImage(0));
    if (resident.Count % 2 == 0)
    {
        loaded.Dispose();
    }

    return outputs;
}

static int Fail(string message)
{
    Console.Error.WriteLine("soak: " + message);
    return 1;
}
