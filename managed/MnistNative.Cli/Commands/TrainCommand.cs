using System.CommandLine;
using System.Diagnostics;

namespace MnistNative.Cli.Commands;

/// <summary><c>mnistnative train</c></summary>
internal static class TrainCommand
{
    private const float AdamLearningRate = 1e-3f;
    private const float SgdLearningRate = 1e-2f;
    private const float SgdMomentum = 0.9f;

    public static Command Create(CliContext context)
    {
        Option<string> dataset = SharedOptions.Dataset();
        Option<string?> data = SharedOptions.DataFolder();
        Option<string> network = SharedOptions.Network(Networks.DigitNames);
        Option<int> epochs = new Option<int>("--epochs")
        {
            Description = "Passes over the training images.",
            HelpName = "N",
        }.Whole(1, 1_000_000, byDefault: 6);
        Option<int> batchSize = SharedOptions.BatchSize();
        Option<float?> learningRate = new Option<float?>("--lr")
        {
            Description = "Learning rate; 0.001 for adam and 0.01 for sgd, with one-cycle 3 times (simplecnn: 10 times) that, unless given.",
            HelpName = "X",
        }.Positive();
        Option<string> optimizer = new("--optimizer")
        {
            Description = "adam, or sgd with momentum 0.9.",
            DefaultValueFactory = _ => "adam",
        };
        optimizer.TakesOneOf(["adam", "sgd"]);
        Option<string?> schedule = new("--schedule")
        {
            Description = "How the learning rate changes: constant; one-cycle, up to --lr and down to nearly 0; or cosine, "
                + "down from --lr epoch by epoch. Unless given, one-cycle for lenet and simplecnn, constant for the others.",
        };
        schedule.TakesOneOf(["constant", "one-cycle", "cosine"]);
        Option<ulong> seed = new Option<ulong>("--seed")
        {
            Description = "Seed of the first parameters, of the order of the images and of dropout.",
            HelpName = "N",
        }.Whole<ulong>(0, ulong.MaxValue, byDefault: 1);
        var device = new DeviceOptions();
        Option<string> precision = SharedOptions.Precision();
        Option<string> normalize = new("--normalize")
        {
            Description = "Whether the network normalises images by the mean and deviation of the training images.",
            DefaultValueFactory = _ => "dataset",
        };
        normalize.TakesOneOf(["dataset", "none"]);
        Option<FileInfo?> save = new("--save")
        {
            Description = "Write the model to this file, also when interrupted.",
            HelpName = "FILE",
        };
        Option<FileInfo?> best = new("--best")
        {
            Description = "Write the model to this file after each epoch whose test loss is the lowest so far.",
            HelpName = "FILE",
        };
        Option<FileInfo?> checkpoint = new("--checkpoint")
        {
            Description = "Write the model and the state of its training to this file after each epoch.",
            HelpName = "FILE",
        };
        Option<FileInfo?> resume = new("--resume")
        {
            Description = "Go on from a checkpoint: with otherwise equal options the result is that of a training without a break.",
            HelpName = "FILE",
        };
        Option<bool> json = SharedOptions.Json();

        var command = new Command("train", "Train a network and test it after each epoch.")
        {
            dataset, data, network, epochs, batchSize, learningRate, optimizer, schedule, seed, device, precision, normalize,
            save, best, checkpoint, resume, json,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            Stopwatch clock = Stopwatch.StartNew();
            FileInfo? saveTo = parsed.GetValue(save);
            foreach (Option<FileInfo?> option in new[] { save, best, checkpoint })
            {
                if (parsed.GetValue(option) is FileInfo target)
                {
                    WritablePath.Check(target.FullName, option.Name);
                }
            }

            string rates = parsed.GetValue(schedule) ?? Networks.Schedule(parsed.GetValue(network)!);
            float rate = parsed.GetValue(learningRate)
                ?? ((parsed.GetValue(optimizer) == "sgd" ? SgdLearningRate : AdamLearningRate)
                    * (rates == "one-cycle" ? Networks.OneCycleFactor(parsed.GetValue(network)!) : 1));
            Optimizer update = parsed.GetValue(optimizer) == "sgd" ? new Sgd(rate, SgdMomentum) : new Adam(rate);

            DatasetChoice choice = await DatasetChoice.LoadAsync(
                parsed.GetValue(dataset)!, parsed.GetValue(data), context, cancellation);
            MnistData images = choice.Data;
            Sequential input = Sequential.Input(images.Train.Shape);
            if (parsed.GetValue(normalize) == "dataset")
            {
                (float[] mean, float[] std) = images.Train.ComputeMeanStd();
                input = input.Normalize(mean, std);
            }

            using Device processor = device.Open(parsed, context);
            using Model model = Networks.Append(parsed.GetValue(network)!, input).Build(
                parsed.GetValue(seed), processor, SharedOptions.WithPrecision(parsed.GetValue(precision)!));
            var options = new FitOptions
            {
                Epochs = parsed.GetValue(epochs),
                BatchSize = parsed.GetValue(batchSize),
                Optimizer = update,
                Schedule = rates switch
                {
                    "one-cycle" => new OneCycleLr(),
                    "cosine" => new CosineAnnealingLr(),
                    _ => null,
                },
                Validation = images.Test,
                BestModel = parsed.GetValue(best)?.FullName,
                Checkpoint = parsed.GetValue(checkpoint)?.FullName,
                ResumeFrom = parsed.GetValue(resume)?.FullName,
            };

            TrainReport report = TrainReport.Create(context, parsed.GetValue(json));
            report.Begin(choice, parsed.GetValue(network)!, model, options);
            bool interrupted = await report.RunAsync(model, images.Train, options, cancellation);
            if (saveTo is not null)
            {
                model.Save(saveTo.FullName);
            }

            report.End(clock.Elapsed, ProcessMemory.PeakResidentBytes(), interrupted, saveTo);
            return interrupted ? CommandLine.Interrupted : 0;
        });
        return command;
    }
}
