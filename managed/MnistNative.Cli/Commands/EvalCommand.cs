using System.CommandLine;
using System.Diagnostics;
using System.Globalization;

namespace MnistNative.Cli.Commands;

/// <summary><c>mnistnative eval</c></summary>
internal static class EvalCommand
{
    public static Command Create(CliContext context)
    {
        Option<FileInfo> file = SharedOptions.Model();
        Option<string> dataset = SharedOptions.Dataset();
        Option<string?> data = SharedOptions.DataFolder();
        var device = new DeviceOptions();
        Option<bool> json = SharedOptions.Json();
        var command = new Command("eval", "Test a saved model on the test images of a data set.")
        {
            file, dataset, data, device, json,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            using Device processor = device.Open(parsed, context);
            using Model model = Model.Load(parsed.GetRequiredValue(file).FullName, processor);
            DatasetChoice choice = await DatasetChoice.LoadAsync(
                parsed.GetValue(dataset)!, parsed.GetValue(data), context, cancellation);
            Stopwatch clock = Stopwatch.StartNew();
            EvaluationResult result = model.Evaluate(choice.Data.Test, cancellation);
            double seconds = clock.Elapsed.TotalSeconds;
            if (parsed.GetValue(json))
            {
                JsonLines.Write(context, "eval", json =>
                {
                    json.WriteString("dataset", choice.Name);
                    json.WriteNumber("images", result.Count);
                    json.WriteRounded("test_loss", result.Loss, 6);
                    json.WriteRounded("test_accuracy", result.Accuracy, 6);
                    json.WriteRounded("seconds", seconds, 3);
                });
            }
            else
            {
                string accuracy = result.Accuracy is double share
                    ? string.Create(CultureInfo.InvariantCulture, $"test accuracy {share * 100:F2}% ({result.Correct} of {result.LabelCount}), ")
                    : "";
                context.Out.WriteLine(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{choice.Name}: {accuracy}loss {result.Loss:F4}, {seconds:F2} s"));
            }

            return 0;
        });
        return command;
    }
}
