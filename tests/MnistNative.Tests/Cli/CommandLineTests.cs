using System.Diagnostics;
using System.Text.Json;
using MnistNative.Cli;
using MnistNative.Tests.Data;
using static MnistNative.Tests.Cli.CommandRun;

namespace MnistNative.Tests.Cli;

public sealed class CommandLineTests
{
    [Fact]
    public async Task TrainThenEvalThenPredict()
    {
        using var folder = new TempFolder();
        IdxBytes.WriteDigits(folder.Path, train: 400, test: 100);
        string model = folder.File("model.safetensors");
        Output train = await Run(
            "train", "--dataset", "mnist", "--data", folder.Path, "--network", "lenet", "--epochs", "2", "--batch-size", "32",
            "--lr", "0.002", "--seed", "3", "--threads", "2", "--device", "cpu", "--save", model, "--json");
        Assert.Equal("", train.Error);
        Assert.Equal(0, train.ExitCode);
        Assert.Equal(3, train.Lines.Length);
        Assert.Equal(
            ["event", "epoch", "train_loss", "test_accuracy", "seconds", "images_per_second"],
            train.Json[0].EnumerateObject().Select(property => property.Name));
        Assert.Equal(2, train.Json[1].GetProperty("epoch").GetInt32());
        JsonElement done = train.Json[2];
        Assert.Equal(["event", "test_accuracy", "seconds", "peak_rss_bytes"], done.EnumerateObject().Select(property => property.Name));
        Assert.True(done.GetProperty("peak_rss_bytes").GetInt64() > 1_000_000);

        Output eval = await Run("eval", "--model", model, "--dataset", "mnist", "--data", folder.Path, "--json");
        Assert.Equal(done.GetProperty("test_accuracy").GetDouble(), eval.Json[0].GetProperty("test_accuracy").GetDouble());
        Assert.Equal(100, eval.Json[0].GetProperty("images").GetInt32());

        string raw = folder.File("digit.raw");
        string png = folder.File("digit.png");
        byte[] image = SyntheticDigits.Generate(1, seed: 9).ByteImages.ToArray();
        File.WriteAllBytes(raw, image);
        WritePng(png, image, 28);
        Output predict = await Run("predict", "--model", model, raw, png, "--json");
        Assert.Equal(0, predict.ExitCode);
        Assert.Equal(2, predict.Lines.Length);
        Assert.Equal(
            predict.Json[0].GetProperty("probabilities").GetRawText(), predict.Json[1].GetProperty("probabilities").GetRawText());
        Assert.Equal(10, predict.Json[0].GetProperty("probabilities").GetArrayLength());

        Output plain = await Run("predict", "--model", model, raw);
        Assert.StartsWith(raw + ": ", plain.Lines[0]);
    }

    [Fact]
    public async Task HelpNamesTheNetworksOnceAndOtherSpellingsAreTaken()
    {
        string help = string.Join('\n', (await Run("bench", "--help")).Lines);
        Assert.Contains("--network <NAME>", help);
        Assert.Contains("mobilenetv2", help);
        Assert.DoesNotContain("mobilenet_v2", help);
        Assert.Equal(0, (await Run("summary", "--network", "mobilenet_v2")).ExitCode);
        Output refused = await Run("summary", "--network", "nonet");
        Assert.NotEqual(0, refused.ExitCode);
        Assert.Contains("nonet", refused.Error);
    }

    [Fact]
    public async Task SummaryCountsAndSaves()
    {
        using var folder = new TempFolder();
        string path = folder.File("fresh.safetensors");
        Output summary = await Run("summary", "--network", "simplecnn", "--save", path, "--json");
        Assert.Equal("", summary.Error);
        Assert.Equal(20_586, summary.Json[0].GetProperty("parameters").GetInt64());
        using Model model = Model.Load(path);
        Assert.Equal("1.running_mean", model.Parameters[4].Name);

        Output large = await Run("summary", "--network", "resnet18", "--json");
        Assert.Equal(11_689_512, large.Json[0].GetProperty("parameters").GetInt64());
        Output table = await Run("summary", "--network", "mobilenet_v2");
        Assert.Equal("Parameters: 3,504,872", table.Lines[^1]);
        Assert.Equal("Multiply-adds: 300,774,272", table.Lines[^2]);
        Output refused = await Run("train", "--network", "resnet18");
        Assert.Contains("resnet18", refused.Error);
    }

    [Theory]
    [InlineData("training")]
    [InlineData("inference")]
    public async Task BenchRefusesABatchThatNoArrayHolds(string mode)
    {
        Output bench = await Run("bench", "--device", "cpu", "--network", "resnet18", "--batch-size", "1000000", "--mode", mode);
        Assert.Equal(2, bench.ExitCode);
        Assert.Equal(
            "mnistnative: --batch-size 1000000 is too large: so many images of 3×224×224 do not fit into an array.",
            bench.Error.TrimEnd());
    }

    [Fact]
    public async Task SchedulesChangeTheRateAndLeNetHasOneCycle()
    {
        using var folder = new TempFolder();
        IdxBytes.WriteDigits(folder.Path, train: 200, test: 50);
        double given = await FinalLoss("lenet", "--schedule", "one-cycle", "--lr", "0.003");
        Assert.Equal(given, await FinalLoss("lenet"));
        double constant = await FinalLoss("lenet", "--schedule", "constant");
        Assert.Equal(constant, await FinalLoss("lenet", "--schedule", "constant", "--lr", "0.001"));
        double cosine = await FinalLoss("lenet", "--schedule", "cosine");
        Assert.Equal(3, new[] { given, constant, cosine }.Distinct().Count());
        Assert.Equal(await FinalLoss("tower", "--schedule", "constant"), await FinalLoss("tower"));

        Output refused = await Run("train", "--schedule", "sometimes");
        Assert.NotEqual(0, refused.ExitCode);
        Assert.Contains("sometimes", refused.Error);

        async Task<double> FinalLoss(string network, params string[] rest)
        {
            Output train = await Run(
            [
                "train", "--device", "cpu", "--dataset", "mnist", "--data", folder.Path, "--network", network, "--epochs", "2",
                "--json", .. rest,
            ]);
            Assert.Equal("", train.Error);
            return train.Json[1].GetProperty("train_loss").GetDouble();
        }
    }

    [Fact]
    public async Task AResumedTrainingEndsInTheSameFile()
    {
        using var folder = new TempFolder();
        IdxBytes.WriteDigits(folder.Path, train: 200, test: 50);
        string checkpoint = folder.File("checkpoint.safetensors");
        byte[] whole = await Train("whole", "--epochs", "3");
        await Train("part", "--epochs", "2", "--checkpoint", checkpoint);
        Assert.Equal(whole, await Train("rest", "--epochs", "3", "--resume", checkpoint));

        Output refused = await Run("train", "--dataset", "mnist", "--data", folder.Path, "--resume", folder.File("part"));
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("no state of a training", refused.Error);

        async Task<byte[]> Train(string name, params string[] rest)
        {
            Output train = await Run(
            [
                "train", "--device", "cpu", "--dataset", "mnist", "--data", folder.Path, "--network", "simplecnn",
                "--schedule", "constant", "--save", folder.File(name), .. rest,
            ]);
            Assert.Equal("", train.Error);
            return await File.ReadAllBytesAsync(folder.File(name));
        }
    }

    /// <summary>The error names the layer and what to try, and the files of earlier epochs stay.</summary>
    [Fact]
    public async Task ATrainingThatDivergesFailsAndLeavesTheFiles()
    {
        using var folder = new TempFolder();
        IdxBytes.WriteDigits(folder.Path, train: 200, test: 50);
        string[] files = [folder.File("saved"), folder.File("best"), folder.File("checkpoint")];
        string[] train =
        [
            "train", "--device", "cpu", "--dataset", "mnist", "--data", folder.Path, "--network", "tower", "--json",
            "--save", files[0], "--best", files[1], "--checkpoint", files[2],
        ];
        Assert.Equal(0, (await Run([.. train, "--epochs", "1"])).ExitCode);
        byte[][] before = [.. files.Select(File.ReadAllBytes)];

        Output diverged = await Run([.. train, "--epochs", "3", "--optimizer", "sgd", "--lr", "1e30"]);
        Assert.Equal(1, diverged.ExitCode);
        string message = diverged.Json[^1].GetProperty("message").GetString()!;
        Assert.Equal("error", diverged.Json[^1].GetProperty("event").GetString());
        Assert.Equal("mnistnative: " + message, diverged.Error.TrimEnd());
        Assert.Matches("First not finite: the (parameter|output)", message);
        Assert.Contains("Try a learning rate below 1E+30", message);
        Assert.Equal(before, files.Select(File.ReadAllBytes));
    }

    [Fact]
    public async Task TheBestEpochIsKeptOnDisk()
    {
        using var folder = new TempFolder();
        IdxBytes.WriteDigits(folder.Path, train: 200, test: 50);
        string best = folder.File("best.safetensors");
        Output train = await Run(
            "train", "--device", "cpu", "--dataset", "mnist", "--data", folder.Path, "--network", "tower", "--epochs", "4",
            "--json", "--best", best);
        Assert.Equal(0, train.ExitCode);
        Output eval = await Run("eval", "--device", "cpu", "--json", "--model", best, "--dataset", "mnist", "--data", folder.Path);
        Assert.Contains(
            eval.Json[0].GetProperty("test_accuracy").GetDouble(),
            train.Json.SkipLast(1).Select(line => line.GetProperty("test_accuracy").GetDouble()));
    }

    [Fact]
    public async Task PlainOutputIsALineAnEpoch()
    {
        using var folder = new TempFolder();
        IdxBytes.WriteDigits(folder.Path, train: 100, test: 20);
        Output train = await Run(
            "train", "--dataset", "mnist", "--data", folder.Path, "--network", "tower", "--epochs", "1", "--optimizer", "sgd",
            "--normalize", "none");
        Assert.Equal(0, train.ExitCode);
        Assert.Equal(3, train.Lines.Length);
        Assert.StartsWith("mnist: 100 training and 20 test images; network tower, ", train.Lines[0]);
        Assert.StartsWith("epoch 1/1: loss ", train.Lines[1]);
        Assert.StartsWith("done: test accuracy ", train.Lines[2]);
    }

    [Fact]
    public async Task AnInterruptedTrainingStillSaves()
    {
        using var folder = new TempFolder();
        IdxBytes.WriteDigits(folder.Path, train: 200, test: 20);
        string model = folder.File("model.safetensors");
        using var interrupt = new CancellationTokenSource();
        using var output = new InterruptingWriter(interrupt);
        int code = await MnistNative.Cli.CommandLine.RunAsync(
            ["train", "--dataset", "mnist", "--data", folder.Path, "--network", "lenet", "--epochs", "100000", "--save", model, "--json"],
            new CliContext(output, TextWriter.Null, IsTerminal: false),
            interrupt.Token);
        Assert.Equal(MnistNative.Cli.CommandLine.Interrupted, code);
        string last = output.ToString().TrimEnd().Split('\n')[^1];
        Assert.Equal("interrupted", JsonDocument.Parse(last).RootElement.GetProperty("event").GetString());
        using Model saved = Model.Load(model);
        Assert.Equal(10, saved.OutputLength);
    }

    [Fact]
    public async Task InfoNamesTheDevicesAndWhyOneCannotBeUsed()
    {
        JsonElement[] lines = (await Run("info", "--json")).Json;
        Assert.Equal(["info", "device", "device"], lines.Select(line => line.GetProperty("event").GetString()));
        Assert.True(lines[1].GetProperty("available").GetBoolean());
        if (!lines[2].GetProperty("available").GetBoolean())
        {
            Assert.NotEqual("", lines[2].GetProperty("message").GetString());
        }
    }

    [Fact]
    public async Task SummaryCountsParameters()
    {
        JsonElement summary = Assert.Single((await Run("summary", "--network", "seed", "--json")).Json);
        Assert.Equal(421_642, summary.GetProperty("parameters").GetInt64());
        Assert.Contains("421,642", string.Join('\n', (await Run("summary")).Lines));
        Assert.Equal(61_706, (await Run("summary", "--network", "lenet", "--json")).Json[0].GetProperty("parameters").GetInt64());
    }

    [Theory]
    [InlineData("lenet", "both")]
    [InlineData("simplecnn", "training")]
    [InlineData("mobilenetv1", "inference")]
    public async Task BenchMeasuresOnTheNetworksOwnImages(string network, string mode)
    {
        Output bench = await Run(
            "bench", "--device", "cpu", "--network", network, "--batch-size", "2", "--steps", "1", "--mode", mode, "--threads", "2",
            "--json");
        Assert.Equal("", bench.Error);
        JsonElement line = Assert.Single(bench.Json);
        Assert.Equal(
            [
                "event", "network", "batch_size", "threads", "train_images_per_second", "infer_images_per_second",
                "train_compile_milliseconds", "infer_compile_milliseconds",
            ],
            line.EnumerateObject().Select(property => property.Name));
        Assert.Equal(network, line.GetProperty("network").GetString());
        Assert.Equal(2, line.GetProperty("batch_size").GetInt32());
        Assert.Equal(2, line.GetProperty("threads").GetInt32());
        AssertRate(line.GetProperty("train_images_per_second"), mode != "inference");
        AssertRate(line.GetProperty("infer_images_per_second"), mode != "training");
        AssertRate(line.GetProperty("train_compile_milliseconds"), mode != "inference");
        AssertRate(line.GetProperty("infer_compile_milliseconds"), measured: true);

        static void AssertRate(JsonElement rate, bool measured)
        {
            Assert.Equal(measured ? JsonValueKind.Number : JsonValueKind.Null, rate.ValueKind);
            Assert.True(!measured || rate.GetDouble() > 0);
        }
    }

    [Fact]
    public async Task BenchShowsWhereTheTimeGoes()
    {
        string[] args = ["bench", "--network", "seed", "--profile", "--batch-size", "2", "--steps", "1", "--device", "cpu"];
        Output lines = await Run([.. args, "--json"]);
        Assert.Equal("", lines.Error);
        string[] modes = [.. lines.Json.Select(line => line.GetProperty("mode").GetString()!)];
        Assert.Equal(["inference", "training"], modes.Distinct());
        JsonElement convolution = lines.Json[2];
        Assert.Equal("3", convolution.GetProperty("layer").GetString());
        Assert.Equal("conv2d+bias+relu+max_pool2d", convolution.GetProperty("operation").GetString());
        Assert.Equal("forward", convolution.GetProperty("direction").GetString());
        Assert.Equal(2 * 2 * 64 * 14 * 14 * 32 * 9, convolution.GetProperty("flops").GetInt64());
        Assert.True(convolution.GetProperty("share_of_peak_flops").GetDouble() > 0);
        foreach (string mode in modes.Distinct())
        {
            Assert.Equal(
                1.0,
                lines.Json.Where(line => line.GetProperty("mode").GetString() == mode).Sum(line => line.GetProperty("share").GetDouble()),
                tolerance: 0.01);
        }

        Output table = await Run([.. args, "--mode", "training"]);
        Assert.StartsWith("Training step, batch 2, cpu", table.Lines[0]);
        Assert.Contains(table.Lines, line => line.StartsWith("optimizer", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(2, "bench", "--steps", "-1")]
    [InlineData(2, "bench", "--mode", "sleeping")]
    [InlineData(2, "train", "--epochs", "0")]
    [InlineData(2, "train", "--epochs", "many")]
    [InlineData(2, "train", "--network", "alexnet")]
    [InlineData(2, "train", "--dataset", "digits", "--data", "somewhere")]
    [InlineData(2, "predict")]
    [InlineData(2, "dance")]
    [InlineData(1, "train", "--dataset", "mnist", "--data", "/no/such/folder")]
    [InlineData(1, "train", "--save", "/no/such/folder/model.safetensors")]
    [InlineData(1, "eval", "--device", "cpu", "--model", "/no/such/file")]
    public async Task AnErrorIsOneLine(int exitCode, params string[] args)
    {
        Output output = await Run(args);
        Assert.Equal(exitCode, output.ExitCode);
        Assert.StartsWith("mnistnative: ", output.Error);
        Assert.Equal(1, output.Error.AsSpan().TrimEnd().Count('\n') + 1);
        Assert.DoesNotContain("   at ", output.Error);
        Assert.Empty(output.Lines);
    }

    [Fact]
    public async Task ALibraryThatIsNotThereIsNamed()
    {
        string command = Path.Combine(AppContext.BaseDirectory, "MnistNative.Cli.dll");
        Assert.SkipUnless(File.Exists(command), "the command line does not lie beside the tests");
        var start = new ProcessStartInfo("dotnet", [command, "info"])
        {
            RedirectStandardError = true,
            RedirectStandardOutput = true,
            Environment = { ["MNISTNATIVE_LIBRARY_PATH"] = "/no/such/library.so" },
        };
        using Process process = Process.Start(start)!;
        string error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.Equal(1, process.ExitCode);
        Assert.Contains("/no/such/library.so: no such file", error);
        Assert.Contains("MNISTNATIVE_LIBRARY_PATH", error);
    }

    /// <summary>Interrupts the command when its first line comes.</summary>
    private sealed class InterruptingWriter(CancellationTokenSource interrupt) : StringWriter
    {
        public override void WriteLine(string? value)
        {
            base.WriteLine(value);
            interrupt.Cancel();
        }
    }
}
