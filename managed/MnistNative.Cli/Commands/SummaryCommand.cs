using System.CommandLine;

namespace MnistNative.Cli.Commands;

/// <summary><c>mnistnative summary</c></summary>
internal static class SummaryCommand
{
    public static Command Create(CliContext context)
    {
        Option<string> network = SharedOptions.Network(Networks.Names, Networks.Aliases);
        Option<FileInfo?> save = new("--save")
        {
            Description = "Write the network with freshly drawn parameters to this file.",
            HelpName = "FILE",
        };
        Option<bool> json = SharedOptions.Json();
        var command = new Command("summary", "Show a network's layers, shapes and parameters.") { network, save, json };
        command.SetAction(parsed =>
        {
            string name = parsed.GetValue(network)!;
            Sequential described = Networks.Append(name, Sequential.Input(Networks.InputShape(name)));
            ModelSummary summary = described.Summary();
            if (parsed.GetValue(save) is FileInfo file)
            {
                WritablePath.Check(file.FullName, save.Name);
                context.EndsInOrder();
                using Device device = Device.Cpu();
                using Model model = described.Build(seed: 1, device);
                model.Save(file.FullName);
            }

            if (!parsed.GetValue(json))
            {
                context.Out.WriteLine(summary);
                return 0;
            }

            JsonLines.Write(context, "summary", json =>
            {
                json.WriteString("network", name);
                json.WriteNumber("parameters", summary.ParameterCount);
                json.WriteNumber("multiply_adds", summary.MultiplyAdds);
                json.WriteStartArray("layers");
                foreach (LayerSummary layer in summary.Layers)
                {
                    json.WriteStartObject();
                    json.WriteString("name", layer.Name);
                    json.WriteString("type", layer.Type);
                    json.WriteStartArray("output_shape");
                    foreach (long dimension in layer.OutputShape)
                    {
                        json.WriteNumberValue(dimension);
                    }

                    json.WriteEndArray();
                    json.WriteNumber("parameters", layer.ParameterCount);
                    json.WriteNumber("multiply_adds", layer.MultiplyAdds);
                    json.WriteEndObject();
                }

                json.WriteEndArray();
            });
            return 0;
        });
        return command;
    }
}
