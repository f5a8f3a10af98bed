using System.CommandLine;

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
        option.TakesOneOf(names, aliases);
        return option;
    }

    public static Option<string> Dataset()
    {
        var option = new Option<string>("--dataset")
        {
            Description = "The data: mnist, fashion, the built-in digits, or auto (MNIST where it can be had, else digits).",
            DefaultValueFactory = _ => "auto",
        };
        option.TakesOneOf(["auto", "mnist", "fashion", "digits"]);
        return option;
    }

    public static Option<string?> DataFolder() =>
        new("--data") { Description = "Folder with the data set's files.", HelpName = "DIR" };

    public static Option<string> Precision()
    {
        var option = new Option<string>("--precision")
        {
            Description = "What products are computed from; tf32 and bf16 need a card.",
            DefaultValueFactory = _ => "fp32",
        };
        option.TakesOneOf(["fp32", "tf32", "bf16"]);
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
    }.Whole(1, Trainer.MaxBatchSize, byDefault: 64);

    public static Option<FileInfo> Model() =>
        new("--model") { Description = "Model file that train --save wrote.", HelpName = "FILE", Required = true };

    /// <summary>Adds all options of a device.</summary>
    public static void Add(this Command command, DeviceOptions options)
    {
        foreach (Option option in options.All)
        {
            command.Add(option);
        }
    }

    /// <summary>Takes only some values; <paramref name="aliases"/> are taken, but not listed.</summary>
    public static void TakesOneOf(this Option option, string[] names, params string[] aliases)
    {
        option.CompletionSources.Add(names);
        option.Validators.Add(result =>
        {
            if (result.Tokens is [{ Value: string value }] && !names.Contains(value) && !aliases.Contains(value))
            {
                result.AddError($"{option.Name} takes {string.Join(", ", names[..^1])} or {names[^1]}, got \"{value}\"."
                    + Suggestions.DidYouMean(value, [.. names, .. aliases]));
            }
        });
    }
}
