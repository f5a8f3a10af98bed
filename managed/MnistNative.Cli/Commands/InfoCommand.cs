using System.CommandLine;
using System.Reflection;
using Spectre.Console;

namespace MnistNative.Cli.Commands;

/// <summary><c>mnistnative info</c></summary>
internal static class InfoCommand
{
    public static Command Create(CliContext context)
    {
        Option<bool> json = SharedOptions.Json();
        var command = new Command("info", "Show versions and devices, and why a device cannot be used.") { json };
        command.SetAction(parsed =>
        {
            string managed = typeof(Model).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion;
            string native = MnistNativeRuntime.NativeVersion;
            DeviceState[] devices = [Probe("cpu", () => Device.Cpu()), Probe("cuda", () => Device.Cuda())];
            if (parsed.GetValue(json))
            {
                JsonLines.Write(context, "info", json =>
                {
                    json.WriteString("version", managed);
                    json.WriteString("native_version", native);
                });
                foreach (DeviceState device in devices)
                {
                    WriteJson(context, device);
                }

                return 0;
            }

            context.Out.WriteLine($"MnistNative {managed}, native library {native}");
            if (context.IsTerminal)
            {
                WriteTable(context, devices);
                return 0;
            }

            foreach (DeviceState device in devices)
            {
                context.Out.WriteLine(device.Info is DeviceInfo info ? $"{info}" : $"{device.Kind}: cannot be used: {device.Message}");
            }

            return 0;
        });
        return command;
    }

    private static DeviceState Probe(string kind, Func<Device> open)
    {
        try
        {
            using Device device = open();
            return new DeviceState(kind, device.Describe(), null, "");
        }
        catch (DeviceUnavailableException e)
        {
            return new DeviceState(kind, null, e.Reason, e.Message);
        }
    }

    private static void WriteJson(CliContext context, DeviceState device) => JsonLines.Write(context, "device", json =>
    {
        json.WriteString("device", device.Kind);
        json.WriteBoolean("available", device.Info is not null);
        if (device.Kind == "cuda")
        {
            json.WriteString("plugin_path", Device.CudaPluginPath);
        }

        if (device.Info is DeviceInfo info)
        {
            json.WriteString("name", info.Name);
            json.WriteString("architecture", info.Architecture);
            json.WriteNumber("threads", info.Threads);
            json.WriteNumber("memory_bytes", info.MemoryBytes);
            if (info.Kind == DeviceKind.Cuda)
            {
                json.WriteNumber("index", info.Index);
                json.WriteNumber("device_count", info.DeviceCount);
                json.WriteString("driver_version", info.DriverVersion?.ToString());
                json.WriteString("tier", info.Tier);
                json.WriteStartArray("libraries");
                foreach (string library in info.Libraries)
                {
                    json.WriteStringValue(library);
                }

                json.WriteEndArray();
            }
        }
        else
        {
            json.WriteString("reason", device.Reason.ToString());
            json.WriteString("message", device.Message);
        }
    });

    private static void WriteTable(CliContext context, DeviceState[] devices)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(context.Out) });
        Table table = new Table().AddColumns("Device", "Usable", "What it is, or why not");
        foreach (DeviceState device in devices)
        {
            table.AddRow(
                device.Kind,
                device.Info is null ? "no" : "yes",
                Markup.Escape(device.Info?.ToString() ?? device.Message));
        }

        console.Write(table);
    }

    private sealed record DeviceState(string Kind, DeviceInfo? Info, DeviceUnavailableReason? Reason, string Message);
}
