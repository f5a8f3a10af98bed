using System.Buffers.Binary;
using System.Text.Json;
using MnistNative.Tests.Data;
using SixLabors.ImageSharp;
using SixLabors.ImageSharp.Formats.Bmp;
using SixLabors.ImageSharp.Formats.Gif;
using SixLabors.ImageSharp.Formats.Jpeg;
using SixLabors.ImageSharp.Formats.Png;
using SixLabors.ImageSharp.Formats.Webp;
using SixLabors.ImageSharp.PixelFormats;
using static MnistNative.Tests.Cli.CommandRun;

namespace MnistNative.Tests.Cli;

public sealed class PredictCommandTests
{
    [Fact]
    public async Task PicturesAreScaledAndInverted()
    {
        using var folder = new TempFolder();
        string model = SaveTower(folder);
        byte[] image = SyntheticDigits.Generate(1, seed: 9).ByteImages.ToArray();
        string large = folder.File("large.png");
        string negative = folder.File("negative.png");
        WritePng(large, image, 280);
        WritePng(negative, [.. image.Select(pixel => (byte)(255 - pixel))], 28);
        string raw = folder.File("digit.raw");
        File.WriteAllBytes(raw, image);
        double expected = Probability(await Run("predict", "--model", model, raw, "--json"));
        Assert.Equal(expected, Probability(await Run("predict", "--model", model, negative, "--invert", "--json")), 1e-6);
        Assert.Equal(expected, Probability(await Run("predict", "--model", model, large, "--json")), 0.01);

        static double Probability(Output output) => output.Json[0].GetProperty("probability").GetDouble();
    }

    /// <summary>What is transparent is the ground on which the digit stands: black, or with --invert white.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task TransparentPixelsAreTheGround(bool invert)
    {
        using var folder = new TempFolder();
        string model = SaveTower(folder);
        byte[] ink = SyntheticDigits.Generate(1, seed: 9).ByteImages.ToArray();
        using var clear = new Image<Rgba32>(28, 28);
        using var solid = new Image<Rgba32>(28, 28);
        for (int i = 0; i < ink.Length; i++)
        {
            // Black ink on paper, or white on a board, thick where the digit is.
            byte color = invert ? (byte)0 : (byte)255;
            byte seen = invert ? (byte)(255 - ink[i]) : ink[i];
            clear[i % 28, i / 28] = new Rgba32(color, color, color, ink[i]);
            solid[i % 28, i / 28] = new Rgba32(seen, seen, seen, 255);
        }

        clear.SaveAsPng(folder.File("clear.png"));
        solid.SaveAsPng(folder.File("solid.png"));
        string[] options = invert ? ["--invert", "--json"] : ["--json"];
        Output output = await Run(
            ["predict", "--device", "cpu", "--model", model, folder.File("clear.png"), folder.File("solid.png"), .. options]);
        Assert.Equal(0, output.ExitCode);
        Assert.Equal(
            output.Json[1].GetProperty("probabilities").GetRawText(), output.Json[0].GetProperty("probabilities").GetRawText());
    }

    [Fact]
    public async Task EveryImageIsReadAndEveryErrorTold()
    {
        using var folder = new TempFolder();
        string model = SaveTower(folder);
        string good = folder.File("good.raw");
        string missing = folder.File("missing.png");
        string text = folder.File("text.txt");
        File.WriteAllBytes(good, new byte[28 * 28]);
        File.WriteAllText(text, "no picture");
        string[] images = [missing, good, folder.Path, text, good];
        string[] messages =
        [
            $"\"{missing}\" does not exist.",
            $"\"{folder.Path}\" is a folder.",
            $"\"{text}\" is neither a PNG, JPEG, BMP, GIF or WebP picture nor a raw file of 784 bytes (it has 10).",
        ];

        Output plain = await Run(["predict", "--device", "cpu", "--model", model, .. images]);
        Assert.Equal(1, plain.ExitCode);
        Assert.Equal(2, plain.Lines.Length);
        Assert.All(plain.Lines, line => Assert.StartsWith(good + ": ", line));
        Assert.Equal(messages.Select(message => "mnistnative: " + message), plain.Error.TrimEnd().Split(Environment.NewLine));

        Output json = await Run(["predict", "--device", "cpu", "--model", model, "--json", .. images]);
        Assert.Equal(1, json.ExitCode);
        Assert.Equal(images, json.Json.Select(line => line.GetProperty("file").GetString()));
        Assert.Equal(
            ["error", "predict", "error", "error", "predict"], json.Json.Select(line => line.GetProperty("event").GetString()));
        Assert.Equal(
            messages,
            json.Json.Where(line => line.TryGetProperty("message", out _)).Select(line => line.GetProperty("message").GetString()));
    }

    /// <summary>A file that is cut off anywhere is refused, or lacks only what follows the picture.</summary>
    [Theory]
    [InlineData("png")]
    [InlineData("jpg")]
    [InlineData("gif")]
    [InlineData("bmp")]
    [InlineData("webp")]
    public async Task ATruncatedPictureIsAnError(string format)
    {
        using var folder = new TempFolder();
        string model = SaveTower(folder);
        byte[] image = SyntheticDigits.Generate(1, seed: 9).ByteImages.ToArray();
        byte[] whole = Encode(image, (picture, to) => picture.Save(to, format switch
        {
            "png" => new PngEncoder(),
            "jpg" => new JpegEncoder(),
            "gif" => new GifEncoder(),
            "bmp" => new BmpEncoder(),
            _ => new WebpEncoder { FileFormat = WebpFileFormatType.Lossless },
        }));
        List<string> files = [folder.File("whole")];
        File.WriteAllBytes(files[0], whole);
        for (int length = whole.Length - 1; length > 0; length -= length > whole.Length - 20 ? 1 : 17)
        {
            files.Add(folder.File($"{length}"));
            File.WriteAllBytes(files[^1], whole[..length]);
        }

        Output output = await Run(["predict", "--device", "cpu", "--model", model, "--json", .. files]);
        Assert.Equal(files.Count, output.Lines.Length);
        Assert.Equal("predict", output.Json[0].GetProperty("event").GetString());
        string expected = output.Json[0].GetProperty("probabilities").GetRawText();
        Assert.All(
            output.Json.Where(line => line.GetProperty("event").GetString() == "predict"),
            line => Assert.Equal(expected, line.GetProperty("probabilities").GetRawText()));
        Assert.True(output.Json.Count(line => line.GetProperty("event").GetString() == "error") > files.Count - 10);
        Assert.Contains("picture: the file ends before the picture does.", output.Error);
    }

    [Fact]
    public async Task WhatIsNoPictureIsNamedWithTheReason()
    {
        using var folder = new TempFolder();
        string model = SaveTower(folder);
        byte[] image = SyntheticDigits.Generate(1, seed: 9).ByteImages.ToArray();
        string png = folder.File("digit.png");
        WritePng(png, image, 28);
        byte[] content = File.ReadAllBytes(png);

        Assert.Contains(
            "\" is neither a PNG, JPEG, BMP, GIF or WebP picture nor a raw file of 784 bytes (it has 10).",
            await Refusal("note.txt", "no picture"u8.ToArray()));
        Assert.Contains("neither a PNG", await Refusal("empty.png", []));
        Assert.Contains("\" is a damaged or unsupported PNG picture: ", await Refusal("nothing.png", WithSize(content, 0, 0)));
        Assert.Contains("\" is a truncated PNG picture: ", await Refusal("half.png", content[..40]));
        Assert.Contains(
            "\" is a PNG picture of 30000×30000 pixels; at most 100 megapixels are read.",
            await Refusal("huge.png", WithSize(content, 30_000, 30_000)));

        // The first bytes of a raw file can be those of a format.
        string raw = folder.File("digit.raw");
        "BM"u8.CopyTo(image);
        File.WriteAllBytes(raw, image);
        Assert.Equal("", (await Run("predict", "--device", "cpu", "--model", model, raw)).Error);

        async Task<string> Refusal(string name, byte[] bytes)
        {
            File.WriteAllBytes(folder.File(name), bytes);
            Output refused = await Run("predict", "--device", "cpu", "--model", model, folder.File(name));
            Assert.Equal(1, refused.ExitCode);
            Assert.StartsWith($"mnistnative: \"{folder.File(name)}\" is ", refused.Error);
            return refused.Error;
        }
    }

    [Fact]
    public async Task OfAnAnimationOnlyTheFirstPictureIsRead()
    {
        using var folder = new TempFolder();
        string model = SaveTower(folder);
        using var animation = new Image<L8>(28, 28, new L8(200));
        animation.Frames.AddFrame(animation.Frames.RootFrame);
        using var encoded = new MemoryStream();
        animation.Save(encoded, new GifEncoder { ColorTableMode = GifColorTableMode.Global });
        byte[] content = encoded.ToArray();

        // Cut off in the second picture's header, whose first bytes say where it lies and its size.
        int second = content.AsSpan().LastIndexOf((ReadOnlySpan<byte>)[0x2C, 0, 0, 0, 0, 28, 0, 28, 0]);
        string gif = folder.File("animation.gif");
        File.WriteAllBytes(gif, content[..(second + 5)]);
        string raw = folder.File("grey.raw");
        File.WriteAllBytes(raw, Enumerable.Repeat((byte)200, 28 * 28).ToArray());
        Output predict = await Run("predict", "--device", "cpu", "--model", model, gif, raw, "--json");
        Assert.Equal("", predict.Error);
        Assert.Equal(
            predict.Json[1].GetProperty("probabilities").GetRawText(), predict.Json[0].GetProperty("probabilities").GetRawText());
    }

    [Theory]
    [InlineData("jpg")]
    [InlineData("webp")]
    public async Task ADamagedPictureIsReadOrNamed(string format)
    {
        using var folder = new TempFolder();
        string model = SaveTower(folder);
        byte[] image = SyntheticDigits.Generate(1, seed: 9).ByteImages.ToArray();
        byte[] whole = Encode(image, (picture, to) =>
            picture.Save(to, format == "jpg" ? new JpegEncoder() : new WebpEncoder { FileFormat = WebpFileFormatType.Lossless }));
        string path = folder.File($"damaged.{format}");
        var random = new Random(1);
        int refusals = 0;
        for (int i = 0; i < 150; i++)
        {
            // Cut off, or with other bytes behind the signature.
            byte[] damaged = i % 2 == 0 ? whole[..random.Next(20, whole.Length)] : [.. whole];
            for (int k = 0; i % 2 == 1 && k < 10; k++)
            {
                damaged[random.Next(20, damaged.Length)] = (byte)random.Next(256);
            }

            File.WriteAllBytes(path, damaged);
            Output output = await Run("predict", "--device", "cpu", "--model", model, path);
            if (output.ExitCode != 0)
            {
                refusals++;
                Assert.StartsWith($"mnistnative: \"{path}\" is ", output.Error);
            }
        }

        Assert.InRange(refusals, 1, 150);
    }

    [Fact]
    public async Task ProbabilitiesThatAreNoNumbersAreNull()
    {
        using var folder = new TempFolder();
        string path = SaveTower(folder);
        using (Model model = Model.Load(path))
        {
            ParameterInfo bias = model.Parameters[^1];
            model.SetParameter(bias.Name, Enumerable.Repeat(float.NaN, 10).ToArray());
            model.Save(path);
        }

        string raw = folder.File("digit.raw");
        File.WriteAllBytes(raw, new byte[28 * 28]);
        Output predict = await Run("predict", "--device", "cpu", "--model", path, raw, "--json");
        Assert.Equal("", predict.Error);
        Assert.Equal(-1, predict.Json[0].GetProperty("class").GetInt32());
        Assert.Equal(JsonValueKind.Null, predict.Json[0].GetProperty("probability").ValueKind);
        JsonElement probabilities = predict.Json[0].GetProperty("probabilities");
        Assert.Equal(10, probabilities.GetArrayLength());
        Assert.All(probabilities.EnumerateArray(), probability => Assert.Equal(JsonValueKind.Null, probability.ValueKind));
    }

    /// <summary>A PNG file whose header says another size than its data has.</summary>
    private static byte[] WithSize(byte[] png, int width, int height)
    {
        byte[] changed = [.. png];
        BinaryPrimitives.WriteInt32BigEndian(changed.AsSpan(16), width);
        BinaryPrimitives.WriteInt32BigEndian(changed.AsSpan(20), height);

        // The checksum of the chunk's name and content: CRC-32.
        uint crc = uint.MaxValue;
        foreach (byte value in changed.AsSpan(12, 17))
        {
            crc ^= value;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc >> 1) ^ ((crc & 1) * 0xEDB88320u);
            }
        }

        BinaryPrimitives.WriteUInt32BigEndian(changed.AsSpan(29), ~crc);
        return changed;
    }
}
