using System.CommandLine;
using System.Globalization;

namespace MnistNative.Cli;

/// <summary>Options that several commands have.</summary>
internal static class SharedOptions
{
    public static Option<bool> Json() =>
        new("--json") { Description = "Print one JSON object a line." };

    /// <summary>A choice of networks; the aliases are taken, but not listed.</summary>
    public static Option<string> Network(string[] names, params string[] aliases)
    {
        var option = new Option<string>("--network")
        {
            Description = $"The network: {string.Join(", ", names)}.",
            HelpName = "NAME",
            DefaultValueFactory = _ => "seed",
        };
        option.AcceptOnlyFromAmong([.. names, .. aliases]);
        return option;
    }

    public static Option<string> Dataset()
    {
        var option = new Option<string>("--dataset")
        {
            Description = "The data: mnist, fashion, the built-in digits, or auto (MNIST where it can be had, else digits).",
            DefaultValueFactory = _ => "auto",
        };
        option.AcceptOnlyFromAmong("auto", "mnist", "fashion", "digits");
        return option;
    }

    public static Option<string?> DataFolder() =>
        new("--data") { Description = "Folder with the data set's files.", HelpName = "DIR" };

    public static Option<string> Device()
    {
        var option = new Option<string>("--device")
        {
            Description = "Where to compute.",
            DefaultValueFactory = _ => "auto",
        };
        option.AcceptOnlyFromAmong("auto", "cpu", "cuda");
        return option;
    }

    public static Option<int> Threads()
    {
        var option = new Option<int>("--threads")
        {
            Description = "Threads that compute on the CPU; 0 takes MNISTNATIVE_NUM_THREADS, else all processors.",
            HelpName = "N",
        };
        return option.InRange(0, MnistNative.Device.MaxThreads);
    }

    public static Option<string> Precision()
    {
        var option = new Option<string>("--precision")
        {
            Description = "What products are computed from; tf32 and bf16 need a card.",
            DefaultValueFactory = _ => "fp32",
        };
        option.AcceptOnlyFromAmong("fp32", "tf32", "bf16");
        return option;
    }

    /// <summary>The model's options for a value of <c>--precision</c>.</summary>
    public static ModelOptions WithPrecision(string precision) => new()
    {
        Precision = precision switch
        {
            "tf32" => MnistNative.Precision.TensorFloat32,
            "bf16" => MnistNative.Precision.BFloat16,
            _ => MnistNative.Precision.Float32,
        },
    };

    public static Option<int> BatchSize() => new Option<int>("--batch-size")
    {
        Description = "Images in a step.",
        HelpName = "N",
        DefaultValueFactory = _ => 64,
    }.InRange(1, Trainer.MaxBatchSize);

    public static Option<FileInfo> Model() =>
        new("--model") { Description = "Model file that train --save wrote.", HelpName = "FILE", Required = true };

    /// <summary>Refuses values outside the range.</summary>
    public static Option<int> InRange(this Option<int> option, int minimum, int maximum)
    {
        option.Validators.Add(result =>
        {
            // What is no number at all is reported by the parser.
            if (result.Tokens is [{ Value: string text }]
                && int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value)
                && (value < minimum || value > maximum))
            {
                result.AddError($"{option.Name} must lie in {minimum} to {maximum}, got {value}.");
            }
        });
        return option;
    }

    /// <summary>
    /// Opens the device asked for. Where <c>auto</c> takes the processor, a line on the error stream says why.
    /// </summary>
    public static MnistNative.Device OpenDevice(string device, int threads, CliContext context)
    {
        if (device == "cpu")
        {
            return MnistNative.Device.Cpu(threads);
        }

        try
        {
            return MnistNative.Device.Cuda();
        }
        catch (MnistNativeException e) when (device == "auto")
        {
            string reason = e is DeviceUnavailableException refusal ? refusal.Reason.ToString() : e.Status.ToString();
            context.Error.WriteLine($"mnistnative: computing on the CPU, since CUDA cannot be used ({reason}): {CommandLine.OneLine(e.Message)}");
            return MnistNative.Device.Cpu(threads);
        }
    }
}
