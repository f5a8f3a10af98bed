using System.CommandLine;
using System.Globalization;

namespace MnistNative.Cli.Commands;

/// <summary><c>mnistnative predict</c></summary>
internal static class PredictCommand
{
    public static Command Create(CliContext context)
    {
        Option<FileInfo> file = SharedOptions.Model();
        Argument<FileInfo[]> images = new("IMAGE")
        {
            Description = "PNG, JPEG, BMP, GIF or WebP files of up to 100 megapixels, or raw files of exactly the input's bytes.",
            Arity = ArgumentArity.OneOrMore,
        };
        Option<bool> invert = new("--invert")
        {
            Description = "Exchange black and white, for dark digits on white paper; MNIST has white digits on black.",
        };
        var device = new DeviceOptions();
        Option<bool> json = SharedOptions.Json();
        var command = new Command("predict", "Say what a saved model sees in images.")
        {
            file, images, invert, device, json,
        };
        images.Validators.Add(Suggestions.RefuseUnknownOptions);
        command.SetAction((parsed, cancellation) =>
        {
            using Device processor = device.Open(parsed, context);
            using Model model = Model.Load(parsed.GetRequiredValue(file).FullName, processor);
            bool asJson = parsed.GetValue(json);
            int code = 0;
            foreach (FileInfo image in parsed.GetRequiredValue(images))
            {
                cancellation.ThrowIfCancellationRequested();
                float[] probabilities;
                try
                {
                    probabilities = model.PredictProbabilities(ImageFile.Read(image, model.InputShape, parsed.GetValue(invert)));
                }
                catch (Exception e) when (e is not OutOfMemoryException)
                {
                    Refuse(context, image, CommandLine.Describe(e), asJson);
                    code = CommandLine.Failure;
                    continue;
                }

                Write(context, image, probabilities, asJson);
            }

            return Task.FromResult(code);
        });
        return command;
    }

    private static void Write(CliContext context, FileInfo image, float[] probabilities, bool json)
    {
        // The first of equals; none where the outputs are no numbers.
        int best = probabilities.Any(float.IsNaN) ? -1 : Array.IndexOf(probabilities, probabilities.Max());
        double? share = best < 0 ? null : probabilities[best];
        if (!json)
        {
            context.Out.WriteLine(share is null
                ? $"{image}: no class, since the network's outputs are not finite"
                : string.Create(CultureInfo.InvariantCulture, $"{image}: {best} ({share * 100:F1}%)"));
            return;
        }

        JsonLines.Write(context, "predict", line =>
        {
            line.WriteString("file", image.ToString());
            line.WriteNumber("class", best);
            line.WriteRounded("probability", share, 6);
            line.WriteStartArray("probabilities");
            foreach (float probability in probabilities)
            {
                line.WriteRoundedValue(probability, 6);
            }

            line.WriteEndArray();
        });
    }

    // The other images are read all the same.
    private static void Refuse(CliContext context, FileInfo image, string message, bool json)
    {
        context.Error.WriteLine($"mnistnative: {message}");
        if (json)
        {
            JsonLines.Write(context, "error", line =>
            {
                line.WriteString("file", image.ToString());
                line.WriteString("message", message);
            });
        }
    }
}
