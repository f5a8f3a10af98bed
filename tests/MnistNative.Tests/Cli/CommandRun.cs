using System.Text.Json;
using MnistNative.Cli;
using MnistNative.Tests.Data;
using SixLabors.ImageSharp;
using SixLabors.ImageSharp.PixelFormats;
using SixLabors.ImageSharp.Processing;

namespace MnistNative.Tests.Cli;

/// <summary>Runs the command in this process, and writes what it reads.</summary>
internal static class CommandRun
{
    /// <summary>Runs a command whose output is no terminal, on a computer without a driver of NVIDIA's.</summary>
    public static Task<Output> Run(params string[] args) => RunWith(driver: false, CancellationToken.None, args);

    /// <summary>The same with a driver, and a token that interrupts the command.</summary>
    public static async Task<Output> RunWith(bool driver, CancellationToken interrupt, params string[] args)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        var context = new CliContext(output, error, IsTerminal: false) { HasCudaDriver = () => driver };
        int code = await MnistNative.Cli.CommandLine.RunAsync(args, context, interrupt);
        return new Output(
            code, output.ToString().Split(Environment.NewLine, StringSplitOptions.RemoveEmptyEntries), error.ToString());
    }

    public static string SaveTower(TempFolder folder)
    {
        string path = folder.File("model.safetensors");
        using Model model = Networks.Append("tower", Sequential.Input(Networks.InputShape("tower"))).Build(seed: 1);
        model.Save(path);
        return path;
    }

    public static byte[] Encode(byte[] image, Action<Image, Stream> save)
    {
        using Image<L8> picture = Image.LoadPixelData<L8>(image, 28, 28);
        using var encoded = new MemoryStream();
        save(picture, encoded);
        return encoded.ToArray();
    }

    public static void WritePng(string path, byte[] image, int size)
    {
        using Image<L8> picture = Image.LoadPixelData<L8>(image, 28, 28);
        picture.Mutate(small => small.Resize(size, size, KnownResamplers.NearestNeighbor));
        picture.SaveAsPng(path);
    }

    public sealed record Output(int ExitCode, string[] Lines, string Error)
    {
        public JsonElement[] Json => [.. Lines.Select(line => JsonDocument.Parse(line).RootElement)];
    }
}
