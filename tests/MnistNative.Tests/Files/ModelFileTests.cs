using MnistNative.IO;
using MnistNative.Tests.Api;
using MnistNative.Tests.Data;

namespace MnistNative.Tests.Files;

public sealed class ModelFileTests
{
    [Fact]
    public void AModelSurvivesSavingAndLoading()
    {
        using var folder = new TempFolder();
        string path = folder.File("digits ä.safetensors");
        using Model model = Tiny.Network.Build(seed: 5);
        model.Fit(Tiny.Bytes(50));
        model.Save(path);
        model.Save(path);
        Assert.Equal([path], Directory.GetFiles(folder.Path));

        using Model loaded = Model.Load(path);
        Assert.Equal(Tiny.ParametersOf(model), Tiny.ParametersOf(loaded));
        Assert.Equal(model.Parameters.Select(p => p.ToString()), loaded.Parameters.Select(p => p.ToString()));
        Assert.Equal(model.Summary().ToString(), loaded.Summary().ToString());
        float[] images = Tiny.ReadAll(Tiny.Bytes(10));
        Assert.Equal(model.ForwardAll(images), loaded.ForwardAll(images));

        // The normalisation came with it, and training goes on.
        loaded.Fit(Tiny.Bytes(50));
    }

    [Fact]
    public void RunningStatisticsAreSavedAsInPyTorch()
    {
        using var folder = new TempFolder();
        string path = folder.File("norm.safetensors");
        using Model model = Sequential.Input(2, 3, 3).Block("features", f => f.BatchNorm2d(name: "bn").ReLU()).Flatten().Linear(2).Build();
        using (Trainer trainer = model.CreateTrainer(new Sgd(0.1f), batchSize: 2))
        {
            float[] images = [.. Enumerable.Range(0, 36).Select(i => (float)(i % 7))];
            trainer.Step(images, [0, 1]);
            trainer.Step(images, [1, 0]);
        }

        model.Save(path);
        using (SafeTensorsReader file = SafeTensorsReader.Open(path))
        {
            Assert.True(file.TryGet("features.bn.num_batches_tracked", out TensorEntry? counter));
            Assert.Equal(TensorType.I64, counter.Type);
            Assert.Empty(counter.Shape);
            Assert.True(file.TryGet("features.bn.running_var", out TensorEntry? variance));
            Assert.Equal(TensorType.F32, variance.Type);
        }

        using Model loaded = Model.Load(path);
        Assert.Equal([2f], loaded.GetParameter("features.bn.num_batches_tracked"));
        Assert.Equal(Tiny.ParametersOf(model), Tiny.ParametersOf(loaded));
    }

    [Fact]
    public void SavingWhereThereIsNoFolderFails()
    {
        using var folder = new TempFolder();
        using Model model = Tiny.Network.Build();
        Assert.Throws<DirectoryNotFoundException>(() => model.Save(Path.Combine(folder.Path, "no", "model.safetensors")));
        Assert.Throws<FileNotFoundException>(() => Model.Load(folder.File("no.safetensors")));
        Assert.Empty(Directory.GetFileSystemEntries(folder.Path));
    }

    [Fact]
    public void AFileOfPyTorchLoadsIntoABuiltModel()
    {
        using var folder = new TempFolder();
        string path = folder.File("pytorch.safetensors");
        File.WriteAllBytes(path, SafeTensorsBytes.Make(("1.bias", [2], [7, 8]), ("1.weight", [2, 3], [1, 2, 3, 4, 5, 6])));
        using Model model = Sequential.Input(1, 1, 3).Flatten().Linear(2).Build();
        LoadResult result = model.LoadParameters(path);
        Assert.Empty(result.Missing);
        Assert.Empty(result.Unexpected);
        Assert.Equal([1f, 2, 3, 4, 5, 6], model.GetParameter("1.weight"));
        Assert.Equal([13f, 23], model.ForwardAll([1f, 1, 1]));
        Assert.Contains("LoadParameters", Assert.Throws<InvalidDataException>(() => Model.Load(path)).Message);
    }

    [Fact]
    public void AllThatDoesNotFitIsReportedAtOnce()
    {
        using var folder = new TempFolder();
        string path = folder.File("other.safetensors");
        File.WriteAllBytes(path, SafeTensorsBytes.Make(
            ("0.weight", [4, 1, 3, 3], new float[36]), ("4.weight", [14, 63], new float[14 * 63]), ("extra.bias", [1], new float[1])));
        using Model model = Tiny.Network.Build(seed: 1);
        float[] before = Tiny.ParametersOf(model);

        string strict = Assert.Throws<InvalidDataException>(() => model.LoadParameters(path)).Message;
        Assert.Contains("missing: 0.bias, 4.bias, 6.weight, 6.bias", strict);
        Assert.Contains("unexpected: extra.bias", strict);
        Assert.Contains("4.weight is 14×63 instead of 14×64", strict);
        Assert.Contains(path, strict);

        string loose = Assert.Throws<InvalidDataException>(() => model.LoadParameters(path, strict: false)).Message;
        Assert.Contains("4.weight", loose);
        Assert.DoesNotContain("missing", loose);
        Assert.Equal(before, Tiny.ParametersOf(model));
    }

    [Fact]
    public void LooseLoadingTakesWhatThereIs()
    {
        using var folder = new TempFolder();
        string path = folder.File("part.safetensors");
        File.WriteAllBytes(path, SafeTensorsBytes.Make(("0.bias", [4], [1, 2, 3, 4]), ("extra", [1], [9])));
        using Model model = Tiny.Network.Build(seed: 1);
        float[] weight = model.GetParameter("0.weight");
        LoadResult result = model.LoadParameters(path, strict: false);
        Assert.Equal(["0.weight", "4.weight", "4.bias", "6.weight", "6.bias"], result.Missing);
        Assert.Equal(["extra"], result.Unexpected);
        Assert.Equal([1f, 2, 3, 4], model.GetParameter("0.bias"));
        Assert.Equal(weight, model.GetParameter("0.weight"));
    }

    [Fact]
    public void IntegersAreNoParameters()
    {
        using var folder = new TempFolder();
        string path = folder.File("integers.safetensors");
        File.WriteAllBytes(path, SafeTensorsBytes.Make("""{"0.bias":{"dtype":"I32","shape":[4],"data_offsets":[0,16]}}""", new byte[16]));
        using Model model = Tiny.Network.Build(seed: 1);
        Assert.Contains("I32", Assert.Throws<InvalidDataException>(() => model.LoadParameters(path, strict: false)).Message);
    }

    [Theory]
    [InlineData("""{"version":1,"input":[1,8,8],"layers":[{"type":"linear","out_features":3,"bias":true}]}""", "linear")]
    [InlineData("""{"version":1,"input":[1,8,8],"layers":[{"type":"telepathy"}]}""", "telepathy")]
    [InlineData("""{"version":1,"input":[1,8,8],"layers":[{"type":"reshape","shape":[1094795585,1094795585,1094795585,1094795585,1094795585]}]}""", "\"reshape\"")]
    [InlineData("""{"version":1,"input":[1,8,8],"layers":[{"type":"reshape","shape":[]}]}""", "\"reshape\"")]
    [InlineData("""{"version":1,"input":[1,1,8],"layers":[{"type":"input_view","shape":[1,2,2,2]}]}""", "\"input_view\"")]
    [InlineData("""{"version":1,"input":[8,1,1],"layers":[{"type":"normalize","mean":[0,0,0,0,0,0,0,0],"std":[1]}]}""", "8 values in \"mean\" and 1 in \"std\"")]
    [InlineData("""{"version":1,"input":[1,8,8],"layers":[{"type":"conv2d","name":"c","out_channels":2,"kernel":[3,3],"stride":[0,1],"padding":"same","dilation":[1,1],"groups":1,"bias":true}]}""", "\"c\"")]
    [InlineData("""{"version":1,"input":[1,8,1],"layers":[{"type":"reshape","shape":[1,8]},{"type":"conv1d","name":"c","out_channels":2,"kernel":3,"stride":0,"padding":"same","dilation":1,"groups":1,"bias":true}]}""", "\"c\"")]
    [InlineData("nonsense", "JSON")]
    public void ANetworkThatCannotBeReadIsRefused(string architecture, string problem)
    {
        using var folder = new TempFolder();
        string path = folder.File("network.safetensors");
        SafeTensorsWriter.Write(
            path, new Dictionary<string, string> { [ArchitectureFormat.MetadataKey] = architecture }, [], (_, _) => { });
        InvalidDataException e = Assert.Throws<InvalidDataException>(() => Model.Load(path));
        Assert.Contains(problem, e.Message);
        Assert.Contains(path, e.Message);
    }

    [Fact]
    public void ANetworkWithoutItsParametersIsRefused()
    {
        using var folder = new TempFolder();
        string path = folder.File("empty.safetensors");
        SafeTensorsWriter.Write(
            path,
            new Dictionary<string, string> { [ArchitectureFormat.MetadataKey] = ArchitectureFormat.Write(Tiny.Network) },
            [],
            (_, _) => { });
        Assert.Contains("missing: 0.weight", Assert.Throws<InvalidDataException>(() => Model.Load(path)).Message);
    }
}
