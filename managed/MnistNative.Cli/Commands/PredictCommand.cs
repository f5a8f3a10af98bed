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
        Option<string> device = SharedOptions.Device();
        Option<int> threads = SharedOptions.Threads();
        Option<bool> json = SharedOptions.Json();
        var command = new Command("predict", "Say what a saved model sees in images.")
        {
            file, images, invert, device, threads, json,
        };
        command.SetAction(parsed =>
        {
            using Device processor = SharedOptions.OpenDevice(parsed.GetValue(device)!, parsed.GetValue(threads), context);
            using Model model = Model.Load(parsed.GetRequiredValue(file).FullName, processor);
            foreach (FileInfo image in parsed.GetRequiredValue(images))
            {
                byte[] pixels = ImageFile.Read(image, model.InputShape, parsed.GetValue(invert));
                float[] probabilities = model.PredictProbabilities(pixels);
                int best = model.Predict(pixels)[0];
                float confidence = best < 0 ? float.NaN : probabilities[best];
                if (parsed.GetValue(json))
                {
                    JsonLines.Write(context, "predict", json =>
                    {
                        json.WriteString("file", image.ToString());
                        json.WriteNumber("class", best);
                        json.WriteRounded("probability", confidence, 6);
                        json.WriteStartArray("probabilities");
                        foreach (float probability in probabilities)
                        {
                            json.WriteRoundedValue(probability, 6);
                        }

                        json.WriteEndArray();
                    });
                }
                else
                {
                    context.Out.WriteLine(string.Create(
                        CultureInfo.InvariantCulture, $"{image}: {best} ({confidence * 100:F1}%)"));
                }
            }

            return 0;
        });
        return command;
    }
}
