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

        Assert.Equal(before, Tiny.ParametersOf(model));

        float[] head = model.GetParameter("4.weight");
        LoadResult loose = model.LoadParameters(path, strict: false);
        Assert.Equal(["0.weight"], loose.Loaded);
        Assert.Equal(["0.bias", "4.bias", "6.weight", "6.bias"], loose.Missing);
        Assert.Equal(["extra.bias"], loose.Unexpected);
        Assert.Equal("4.weight is 14×63 instead of 14×64", Assert.Single(loose.Mismatched).ToString());
        Assert.Equal(new float[36], model.GetParameter("0.weight"));
        Assert.Equal(head, model.GetParameter("4.weight"));
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
        Assert.Contains("0.bias is of type I32", Assert.Throws<InvalidDataException>(() => model.LoadParameters(path)).Message);
        float[] before = Tiny.ParametersOf(model);
        Assert.Equal("0.bias is of type I32, which cannot be read as floats", Assert.Single(model.LoadParameters(path, strict: false).Mismatched).ToString());
        Assert.Equal(before, Tiny.ParametersOf(model));
    }

    [Theory]
    [InlineData("F4", 3)]
    [InlineData("F8_E8M0", 4)]
    [InlineData("F8_E5M2", 4)]
    [InlineData("X17", 0)]
    public void ATensorOfAnotherTypeSpoilsOnlyWhatNeedsIt(string type, int bytes)
    {
        using var folder = new TempFolder();
        string path = folder.File("types.safetensors");
        byte[] data = [.. BitConverter.GetBytes(7f), .. BitConverter.GetBytes(8f), .. new byte[bytes]];
        using Model model = Sequential.Input(2).Linear(2).Build();
        float[] weight = model.GetParameter("0.weight");
        foreach (string name in new[] { "0.weight", "scales" })
        {
            File.WriteAllBytes(path, SafeTensorsBytes.Make(
                $$$"""{"0.bias":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"{{{name}}}":{"dtype":"{{{type}}}","shape":[2,2],"data_offsets":[8,{{{8 + bytes}}}]}}""",
                data));
            LoadResult result = model.LoadParameters(path, strict: false);
            Assert.Equal(["0.bias"], result.Loaded);
            Assert.Equal(name == "scales" ? ["scales"] : [], result.Unexpected);
            Assert.Equal([7f, 8], model.GetParameter("0.bias"));
            Assert.Equal(weight, model.GetParameter("0.weight"));
            string problem = name == "scales" ? "unexpected: scales" : $"0.weight is of type {type}";
            Assert.Contains(problem, Assert.Throws<InvalidDataException>(() => model.LoadParameters(path)).Message);
        }
    }

    [Theory]
    [InlineData("I64", "[]", 5, 5)]
    [InlineData("I64", "[1]", 5, 5)]
    [InlineData("U64", "[1]", 5, 5)]
    [InlineData("I32", "[]", 5, 5)]
    [InlineData("U32", "[]", 70000, 70000)]
    [InlineData("I16", "[]", 5, 5)]
    [InlineData("U16", "[]", 65535, 65535)]
    [InlineData("I8", "[1]", 5, 5)]
    [InlineData("U8", "[]", 255, 255)]
    [InlineData("F32", "[]", 5, 5)]
    [InlineData("F64", "[1]", 5, 5)]
    [InlineData("F16", "[1]", 5, 5)]
    [InlineData(null, null, 0, 0)]
    public void ACounterMayBeOfAnyTypeOrMissing(string? type, string? shape, double number, float counter)
    {
        using var folder = new TempFolder();
        string path = folder.File("norm.safetensors");
        using Model model = Sequential.Input(1, 4, 4).Conv2d(2, 3, bias: false).BatchNorm2d(affine: false).Build();
        model.SetParameter("1.num_batches_tracked", [9]);
        WriteNorm(path, type, shape, number);
        LoadResult result = model.LoadParameters(path);
        Assert.Empty(result.Missing);
        Assert.Equal([counter], model.GetParameter("1.num_batches_tracked"));
        Assert.Equal([3f, 3], model.GetParameter("1.running_var"));
    }

    [Theory]
    [InlineData("I64", "[]", -1, "\"1.num_batches_tracked\" is -1")]
    [InlineData("F32", "[]", 0.5, "\"1.num_batches_tracked\" is 0.5")]
    [InlineData("F64", "[]", double.NaN, "\"1.num_batches_tracked\" is NaN")]
    [InlineData("F64", "[]", 1e300, "\"1.num_batches_tracked\" is 1E+300")]
    [InlineData("I64", "[2]", 5, "1.num_batches_tracked is 2 instead of []")]
    [InlineData("BOOL", "[]", 1, "1.num_batches_tracked is of type BOOL")]
    public void ACounterThatIsNoneIsRefused(string type, string shape, double number, string problem)
    {
        using var folder = new TempFolder();
        string path = folder.File("norm.safetensors");
        using Model model = Sequential.Input(1, 4, 4).Conv2d(2, 3, bias: false).BatchNorm2d(affine: false).Build();
        float[] before = Tiny.ParametersOf(model);
        WriteNorm(path, type, shape, number);
        Assert.Contains(problem, Assert.Throws<InvalidDataException>(() => model.LoadParameters(path)).Message);
        Assert.Equal(before, Tiny.ParametersOf(model));
    }

    [Theory]
    [InlineData(16_777_216)]
    [InlineData(1_000_000)]
    [InlineData(3)]
    public void ADescriptionIsNotBelievedBeforeTheTensors(int channels)
    {
        using var folder = new TempFolder();
        string path = folder.File("large.safetensors");
        using (Model model = Sequential.Input(1, 8, 8).Conv2d(2, 3).ReLU().Conv2d(2, 3).Build())
        {
            model.Save(path);
        }

        string text = System.Text.Encoding.Latin1.GetString(File.ReadAllBytes(path));
        const string key = "out_channels\\\":2";
        int at = text.LastIndexOf(key, StringComparison.Ordinal);
        string changed = text[..(at + key.Length - 1)] + channels + text[(at + key.Length)..];
        byte[] bytes = System.Text.Encoding.Latin1.GetBytes(changed);
        System.Buffers.Binary.BinaryPrimitives.WriteInt64LittleEndian(
            bytes, System.Buffers.Binary.BinaryPrimitives.ReadInt64LittleEndian(bytes) + changed.Length - text.Length);
        File.WriteAllBytes(path, bytes);
        string problem = Assert.Throws<InvalidDataException>(() => Model.Load(path)).Message;
        Assert.Contains($"2.weight is 2×2×3×3 instead of {channels}×2×3×3, 2.bias is 2 instead of {channels}", problem);
    }

    [Fact]
    public void FilesCarryTheVersionOfTheirFormat()
    {
        using var folder = new TempFolder();
        string path = folder.File("model.safetensors");
        using Model model = Tiny.Network.Build();
        model.Save(path);
        Assert.Equal("1", new RawFile(path).Metadata["mnistnative.format"]);
        string text = System.Text.Encoding.Latin1.GetString(File.ReadAllBytes(path));
        File.WriteAllBytes(path, System.Text.Encoding.Latin1.GetBytes(text.Replace("mnistnative.format\":\"1\"", "mnistnative.format\":\"7\"")));
        Action[] loads = [() => Model.Load(path), () => model.LoadParameters(path)];
        Assert.All(loads, load =>
            Assert.Contains("version 7, and this library reads versions up to 1", Assert.Throws<InvalidDataException>(load).Message));
    }

    // A batch normalisation's file with or without a counter of this type.
    private static void WriteNorm(string path, string? type, string? shape, double number)
    {
        byte[] counter = type switch
        {
            "I64" => BitConverter.GetBytes((long)number),
            "U64" => BitConverter.GetBytes((ulong)number),
            "I32" => BitConverter.GetBytes((int)number),
            "U32" => BitConverter.GetBytes((uint)number),
            "I16" => BitConverter.GetBytes((short)number),
            "U16" => BitConverter.GetBytes((ushort)number),
            "I8" or "U8" or "BOOL" => [(byte)number],
            "F32" => BitConverter.GetBytes((float)number),
            "F64" => BitConverter.GetBytes(number),
            "F16" => BitConverter.GetBytes((Half)number),
            _ => [],
        };
        if (shape == "[2]")
        {
            counter = [.. counter, .. counter];
        }

        byte[] data = [.. new byte[18 * 4 + 8], .. BitConverter.GetBytes(3f), .. BitConverter.GetBytes(3f), .. counter];
        string last = type is null
            ? ""
            : $$""","1.num_batches_tracked":{"dtype":"{{type}}","shape":{{shape}},"data_offsets":[88,{{88 + counter.Length}}]}""";
        File.WriteAllBytes(path, SafeTensorsBytes.Make(
            $$"""
            {"0.weight":{"dtype":"F32","shape":[2,1,3,3],"data_offsets":[0,72]},
             "1.running_mean":{"dtype":"F32","shape":[2],"data_offsets":[72,80]},
             "1.running_var":{"dtype":"F32","shape":[2],"data_offsets":[80,88]}{{last}}}
            """,
            data));
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
