using System.CommandLine;

namespace MnistNative.Cli.Commands;

/// <summary><c>mnistnative summary</c></summary>
internal static class SummaryCommand
{
    public static Command Create(CliContext context)
    {
        Option<string> network = SharedOptions.Network();
        Option<bool> json = SharedOptions.Json();
        var command = new Command("summary", "Show a network's layers, shapes and parameters.") { network, json };
        command.SetAction(parsed =>
        {
            string name = parsed.GetValue(network)!;
            ModelSummary summary = Networks.Append(name, Sequential.Input(Networks.InputShape)).Summary();
            if (!parsed.GetValue(json))
            {
                context.Out.WriteLine(summary);
                return 0;
            }

            JsonLines.Write(context, "summary", json =>
            {
                json.WriteString("network", name);
                json.WriteNumber("parameters", summary.ParameterCount);
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
                    json.WriteEndObject();
                }

                json.WriteEndArray();
            });
            return 0;
        });
        return command;
    }
}
