using System.CommandLine;
using System.Diagnostics;
using System.Globalization;

namespace MnistNative.Cli.Commands;

/// <summary><c>mnistnative bench</c>: the public API under a stop watch.</summary>
internal static class BenchCommand
{
    private const int DistinctBatches = 16;
    private const int Repetitions = 5;
    private const int WarmUpSteps = 3;
    private static readonly TimeSpan s_warmUp = TimeSpan.FromSeconds(0.5);
    private static readonly TimeSpan s_repetition = TimeSpan.FromSeconds(1);

    public static Command Create(CliContext context)
    {
        Option<string> network = SharedOptions.Network(Networks.Names, Networks.Aliases);
        Option<int> batchSize = SharedOptions.BatchSize();
        Option<int> steps = new Option<int>("--steps")
        {
            Description = "Steps of each of the five runs; 0 takes as many as fill a second. With --profile: repetitions, 5 if 0.",
            HelpName = "N",
        }.Whole(0, 1_000_000, byDefault: 0);
        Option<string> mode = new("--mode")
        {
            Description = "What to measure: training, inference or both.",
            DefaultValueFactory = _ => "both",
        };
        mode.TakesOneOf(["both", "training", "inference"]);
        Option<bool> profile = new("--profile")
        {
            Description = "Show where the time goes instead: time, GFLOP/s, GB/s and share of the peak of each operation.",
        };
        var device = new DeviceOptions();
        Option<string> precision = SharedOptions.Precision();
        Option<bool> json = SharedOptions.Json();
        var command = new Command("bench", "Measure training and inference: the median of five runs after a warm-up.")
        {
            network, batchSize, steps, mode, profile, device, precision, json,
        };
        command.SetAction((parsed, cancellation) =>
        {
            string name = parsed.GetValue(network)!;
            int batch = parsed.GetValue(batchSize);
            string measured = parsed.GetValue(mode)!;
            ImageShape shape = Networks.InputShape(name);
            if ((long)batch * shape.Length > Array.MaxLength)
            {
                throw new UsageException($"--batch-size {batch} is too large: so many images of {shape} do not fit into an array.");
            }

            var stopWatch = new StopWatch(batch, parsed.GetValue(steps), cancellation);
            using Device processor = device.Open(parsed, context);
            using Model model = Networks
                .Append(name, Sequential.Input(shape).Normalize(0.1307f, 0.3081f))
                .Build(seed: 1, processor, SharedOptions.WithPrecision(parsed.GetValue(precision)!));
            if (parsed.GetValue(profile))
            {
                bool[] trainings = measured switch { "training" => [true], "inference" => [false], _ => [false, true] };
                foreach (bool training in trainings)
                {
                    int repetitions = parsed.GetValue(steps) is int given and > 0 ? given : Repetitions;
                    ModelProfile found = model.Profile(batch, training, repetitions, cancellation);
                    ProfileReport.Write(context, name, found, parsed.GetValue(json));
                }

                return Task.FromResult(0);
            }

            double? trainCompile = null;
            double? train = measured != "inference" ? MeasureTraining(model, stopWatch, out trainCompile) : null;
            double? infer = measured != "training" ? MeasureInference(model, stopWatch) : null;
            int used = processor.Describe().Threads;
            if (parsed.GetValue(json))
            {
                JsonLines.Write(context, "bench", json =>
                {
                    json.WriteString("network", name);
                    json.WriteNumber("batch_size", batch);
                    json.WriteNumber("threads", used);
                    json.WriteRounded("train_images_per_second", train, 3);
                    json.WriteRounded("infer_images_per_second", infer, 3);
                    json.WriteRounded("train_compile_milliseconds", trainCompile, 3);
                    json.WriteRounded("infer_compile_milliseconds", model.MemoryPlan.CompileTime.TotalMilliseconds, 3);
                });
            }
            else
            {
                context.Out.WriteLine(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{name}, batch {batch}, {used} threads: {Sentence(train, infer)}"));
            }

            return Task.FromResult(0);
        });
        return command;
    }

    private static string Sentence(double? train, double? infer)
    {
        return string.Join(", ", new[] { Part("training", train), Part("inference", infer) }.OfType<string>());

        static string? Part(string name, double? rate) => rate is double value
            ? string.Create(CultureInfo.InvariantCulture, $"{name} {value.ToString(value < 100 ? "N2" : "N0", CultureInfo.InvariantCulture)} images/s")
            : null;
    }

    private static double MeasureTraining(Model model, StopWatch stopWatch, out double? compileMilliseconds)
    {
        (byte[][] images, int[][] labels) = MakeBatches(model, stopWatch.Batch);
        using Trainer trainer = model.CreateTrainer(new Adam(), stopWatch.Batch);
        compileMilliseconds = trainer.MemoryPlan.CompileTime.TotalMilliseconds;
        double losses = 0;
        double rate = stopWatch.Median(step =>
            losses += trainer.Step(images[step % DistinctBatches], labels[step % DistinctBatches]).Loss);
        return double.IsFinite(losses)
            ? rate
            : throw new InvalidOperationException("The losses of the benchmark's steps are not finite.");
    }

    private static double MeasureInference(Model model, StopWatch stopWatch)
    {
        (byte[][] images, _) = MakeBatches(model, stopWatch.Batch);
        int[] classes = new int[stopWatch.Batch];
        return stopWatch.Median(step => model.Predict(images[step % DistinctBatches], classes));
    }

    private static (byte[][] Images, int[][] Labels) MakeBatches(Model model, int batch)
    {
        var random = new Random(1);
        byte[][] images = new byte[DistinctBatches][];
        int[][] labels = new int[DistinctBatches][];
        for (int i = 0; i < DistinctBatches; i++)
        {
            images[i] = new byte[batch * model.InputShape.Length];
            random.NextBytes(images[i]);
            labels[i] = new int[batch];
            for (int k = 0; k < batch; k++)
            {
                labels[i][k] = random.Next(model.OutputLength);
            }
        }

        return (images, labels);
    }

    private sealed record StopWatch(int Batch, int Steps, CancellationToken Cancellation)
    {
        // Images a second: the median of the repetitions, each of as many steps as were asked for, or as the warm-up lets
        // expect of a repetition's length.
        public double Median(Action<int> step)
        {
            int next = 0;
            Stopwatch clock = Stopwatch.StartNew();
            while (Steps > 0 ? next < Math.Min(Steps, WarmUpSteps) : next < WarmUpSteps || clock.Elapsed < s_warmUp)
            {
                Cancellation.ThrowIfCancellationRequested();
                step(next++);
            }

            int steps = Steps > 0 ? Steps : Math.Max(1, (int)(next * (s_repetition / clock.Elapsed)));
            double[] rates = new double[Repetitions];
            for (int i = 0; i < Repetitions; i++)
            {
                clock.Restart();
                for (int k = 0; k < steps; k++)
                {
                    Cancellation.ThrowIfCancellationRequested();
                    step(next++);
                }

                rates[i] = steps * (double)Batch / clock.Elapsed.TotalSeconds;
            }

            Array.Sort(rates);
            return rates[Repetitions / 2];
        }
    }
}
