using System.Globalization;
using System.Text.Json;
using MnistNative.Tests.Data;
using static MnistNative.Tests.Cli.CommandRun;

namespace MnistNative.Tests.Cli;

/// <summary>What the command says to arguments that are wrong, and to events that end it.</summary>
public sealed class UsageTests
{
    [Theory]
    [InlineData("0,001")]
    [InlineData("1,000")]
    [InlineData("1e")]
    [InlineData("1 000")]
    [InlineData(" 0.1")]
    [InlineData("0.1 ")]
    [InlineData("0x10")]
    [InlineData("1_000")]
    [InlineData("(1)")]
    [InlineData("$1")]
    [InlineData("NaN")]
    [InlineData("Infinity")]
    [InlineData("1e39")]
    [InlineData("1e-60")]
    [InlineData("0")]
    [InlineData("-0.1")]
    [InlineData("")]
    public async Task ALearningRateIsAPlainNumber(string value)
    {
        Output output = await Run("train", "--lr", value);
        Assert.Equal(2, output.ExitCode);
        Assert.StartsWith($"mnistnative: --lr takes a number above 0, such as 0.001 or 1e-3, got \"{value}\".", output.Error);
    }

    [Theory]
    [InlineData("train", "--epochs", "a whole number from 1 to 1000000")]
    [InlineData("train", "--batch-size", "a whole number from 1 to 1048576")]
    [InlineData("train", "--threads", "a whole number from 0 to 1024")]
    [InlineData("train", "--seed", "a whole number from 0 to 18446744073709551615")]
    [InlineData("bench", "--steps", "a whole number from 0 to 1000000")]
    public async Task OtherNumbersAreWhole(string command, string option, string expected)
    {
        foreach (string value in new[] { "1,000", "1.0", "1e3", " 1", "1 ", "0x10", "-1", "99999999999999999999", "one", "" })
        {
            Output output = await Run(command, option, value);
            Assert.Equal(2, output.ExitCode);
            Assert.StartsWith($"mnistnative: {option} takes {expected}, got \"{value}\".", output.Error);
        }
    }

    /// <summary>Where a comma is the decimal point, too.</summary>
    [Theory]
    [InlineData("0.25", 1)]
    [InlineData("1e-3", 1)]
    [InlineData(".5", 1)]
    [InlineData("0,25", 2)]
    [InlineData("1.000,5", 2)]
    public async Task TheCultureChangesNoNumber(string value, int exitCode)
    {
        CultureInfo before = CultureInfo.CurrentCulture;
        var comma = (CultureInfo)CultureInfo.InvariantCulture.Clone();
        (comma.NumberFormat.NumberDecimalSeparator, comma.NumberFormat.NumberGroupSeparator) = (",", ".");
        CultureInfo.CurrentCulture = comma;
        try
        {
            // Whose arguments are right finds no data.
            Assert.Equal(
                exitCode, (await Run("train", "--lr", value, "--dataset", "mnist", "--data", "/no/such/folder")).ExitCode);
        }
        finally
        {
            CultureInfo.CurrentCulture = before;
        }
    }

    [Theory]
    [InlineData("There is no command \"tarin\". Did you mean \"train\"?", "tarin", "--lr", "1")]
    [InlineData("There is no command \"evaluate\".", "evaluate")]
    [InlineData("There is no command \"dance\". (", "dance")]
    [InlineData("train has no option \"--epoch\". Did you mean \"--epochs\"?", "train", "--epoch", "5")]
    [InlineData("train has no option \"--batch\". Did you mean \"--batch-size\"?", "train", "--batch=5")]
    [InlineData("eval has no option \"--modle\". Did you mean \"--model\"?", "eval", "--modle", "x")]
    [InlineData("predict has no option \"--inver\". Did you mean \"--invert\"?", "predict", "--model", "x", "--inver", "a.png")]
    [InlineData("mnistnative has no option \"--hlep\". Did you mean \"--help\"?", "--hlep")]
    [InlineData("train has no option \"--colour\". (", "train", "--colour")]
    [InlineData("--schedule takes constant, one-cycle or cosine, got \"cosin\". Did you mean \"cosine\"?", "train", "--schedule", "cosin")]
    [InlineData("got \"resent18\". Did you mean \"resnet18\"?", "bench", "--network", "resent18")]
    public async Task ANameThatIsNearIsProposed(string expected, params string[] args)
    {
        Output output = await Run(args);
        Assert.Equal(2, output.ExitCode);
        Assert.Contains(expected.TrimEnd('('), output.Error);
        Assert.Equal(expected.Contains("Did you mean"), output.Error.Contains("Did you mean"));
    }

    [Fact]
    public async Task WithoutArgumentsTheHelpIsShown()
    {
        Output output = await Run();
        Assert.Equal(2, output.ExitCode);
        Assert.Empty(output.Lines);
        Assert.Contains("Usage:", output.Error);
        Assert.Contains("bench", output.Error);
        Output help = await Run("--help");
        Assert.Equal(0, help.ExitCode);
        Assert.Equal(help.Lines, output.Error.Split(Environment.NewLine, StringSplitOptions.RemoveEmptyEntries));
    }

    [Theory]
    [InlineData(2, "train", "--json", "--lr", "0,1")]
    [InlineData(2, "train", "--json", "--dataset", "digits", "--data", "somewhere")]
    [InlineData(1, "eval", "--json", "--device", "cpu", "--model", "/no/such/file")]
    public async Task AnErrorIsAnEvent(int exitCode, params string[] args)
    {
        Output output = await Run(args);
        Assert.Equal(exitCode, output.ExitCode);
        JsonElement line = Assert.Single(output.Json);
        Assert.Equal("error", line.GetProperty("event").GetString());
        Assert.Equal("mnistnative: " + line.GetProperty("message").GetString(), output.Error.TrimEnd());
    }

    [Fact]
    public async Task AnInterruptionIsAnEvent()
    {
        using var folder = new TempFolder();
        Output output = await RunWith(
            driver: false, new CancellationToken(canceled: true),
            "predict", "--json", "--device", "cpu", "--model", SaveTower(folder), folder.File("image.png"));
        Assert.Equal(130, output.ExitCode);
        Assert.Equal("mnistnative: interrupted", output.Error.TrimEnd());
        Assert.Equal("interrupted", Assert.Single(output.Json).GetProperty("event").GetString());
    }

    [Fact]
    public async Task WhyThereIsNoCudaIsToldWhereThereIsADriver()
    {
        Assert.SkipWhen(HasCuda(), "CUDA can be used here");
        using var folder = new TempFolder();
        string image = folder.File("image.raw");
        File.WriteAllBytes(image, new byte[28 * 28]);
        string[] predict = ["predict", "--model", SaveTower(folder), image];
        Assert.Equal("", (await Run(predict)).Error);
        Assert.Contains("computing on the CPU, since CUDA cannot be used", (await Run([.. predict, "--verbose"])).Error);
        Assert.Contains("since CUDA cannot be used", (await RunWith(driver: true, CancellationToken.None, predict)).Error);

        static bool HasCuda()
        {
            try
            {
                using Device device = Device.Cuda();
                return true;
            }
            catch (DeviceUnavailableException)
            {
                return false;
            }
        }
    }
}
