using System.CommandLine;
using System.Diagnostics;
using System.Globalization;

namespace MnistNative.Cli.Commands;

/// <summary><c>mnistnative bench</c>: the public API under a stop watch.</summary>
internal static class BenchCommand
{
    private const int DistinctBatches = 16;
    private const int Repetitions = 5;
    private static readonly TimeSpan s_warmUp = TimeSpan.FromSeconds(0.5);
    private static readonly TimeSpan s_repetition = TimeSpan.FromSeconds(1);

    public static Command Create(CliContext context)
    {
        Option<string> network = SharedOptions.Network(Networks.Names);
        Option<int> batchSize = SharedOptions.BatchSize();
        Option<string> device = SharedOptions.Device();
        Option<int> threads = SharedOptions.Threads();
        Option<bool> json = SharedOptions.Json();
        var command = new Command("bench", "Measure training and inference: the median of five runs after a warm-up.")
        {
            network, batchSize, device, threads, json,
        };
        command.SetAction((parsed, cancellation) =>
        {
            string name = parsed.GetValue(network)!;
            int batch = parsed.GetValue(batchSize);
            using Device processor = SharedOptions.OpenDevice(parsed.GetValue(device)!, parsed.GetValue(threads));
            using Model model = Networks
                .Append(name, Sequential.Input(Networks.InputShape(name)).Normalize(0.1307f, 0.3081f))
                .Build(seed: 1, processor);
            double train = MeasureTraining(model, batch, cancellation);
            double infer = MeasureInference(model, batch, cancellation);
            int used = processor.Describe().Threads;
            if (parsed.GetValue(json))
            {
                JsonLines.Write(context, "bench", json =>
                {
                    json.WriteString("network", name);
                    json.WriteNumber("batch_size", batch);
                    json.WriteNumber("threads", used);
                    json.WriteRounded("train_images_per_second", train, 1);
                    json.WriteRounded("infer_images_per_second", infer, 1);
                });
            }
            else
            {
                context.Out.WriteLine(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{name}, batch {batch}, {used} threads: training {train:N0} images/s, inference {infer:N0} images/s"));
            }

            return Task.FromResult(0);
        });
        return command;
    }

    private static double MeasureTraining(Model model, int batch, CancellationToken cancellation)
    {
        (byte[][] images, int[][] labels) = MakeBatches(model, batch);
        using Trainer trainer = model.CreateTrainer(new Adam(), batch);
        double losses = 0;
        double rate = Median(batch, cancellation, step =>
            losses += trainer.Step(images[step % DistinctBatches], labels[step % DistinctBatches]).Loss);
        return double.IsFinite(losses)
            ? rate
            : throw new InvalidOperationException("The losses of the benchmark's steps are not finite.");
    }

    private static double MeasureInference(Model model, int batch, CancellationToken cancellation)
    {
        (byte[][] images, _) = MakeBatches(model, batch);
        int[] classes = new int[batch];
        return Median(batch, cancellation, step => model.Predict(images[step % DistinctBatches], classes));
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

    // Images a second: the median of the repetitions, each of as many steps as the warm-up lets expect of its length.
    private static double Median(int batch, CancellationToken cancellation, Action<int> step)
    {
        int next = 0;
        Stopwatch clock = Stopwatch.StartNew();
        while (next < 3 || clock.Elapsed < s_warmUp)
        {
            cancellation.ThrowIfCancellationRequested();
            step(next++);
        }

        int steps = Math.Max(1, (int)(next * (s_repetition / clock.Elapsed)));
        double[] rates = new double[Repetitions];
        for (int i = 0; i < Repetitions; i++)
        {
            clock.Restart();
            for (int k = 0; k < steps; k++)
            {
                cancellation.ThrowIfCancellationRequested();
                step(next++);
            }

            rates[i] = steps * (double)batch / clock.Elapsed.TotalSeconds;
        }

        Array.Sort(rates);
        return rates[Repetitions / 2];
    }
}
