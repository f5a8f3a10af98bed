using System.Text.Json;
using System.Text.Json.Nodes;
using MnistNative.IO;
using MnistNative.Tests.Data;

namespace MnistNative.Tests.Files;

/// <summary>
/// The files of every version of the format, in a folder each of <c>tests/files</c>, load and resume ever after.
/// <c>tests/files/README.md</c> says how such a folder is written.
/// </summary>
public sealed class KeptFilesTests
{
    private const string FolderVariable = "MNISTNATIVE_WRITE_FILES";

    private static readonly string s_root = Path.Combine(AppContext.BaseDirectory, "files");

    private static IEnumerable<string> Folders => Directory.GetDirectories(s_root).Order(StringComparer.Ordinal);

    public static TheoryData<string, string> Models => Cases(KeptFiles.Networks.Keys);

    public static TheoryData<string, string> Checkpoints => Cases(KeptFiles.Optimizers.Keys);

    public static TheoryData<string, string> Fits => Cases(KeptFiles.Fits.Keys);

    public static TheoryData<string, string> All => Cases(KeptFiles.Names);

    [Fact]
    public void ThereAreFilesOfEveryKindOfLayerInLittleSpace()
    {
        Assert.NotEmpty(Folders);
        long bytes = Folders.SelectMany(folder => Directory.GetFiles(folder)).Sum(file => new FileInfo(file).Length);
        Assert.InRange(bytes, 1, 1_000_000);
        IEnumerable<string> kinds = KeptFiles.Networks.Keys
            .SelectMany(name => Kinds(JsonNode.Parse(new RawFile(PathOf(Folders.Last(), name)).Metadata[ArchitectureFormat.MetadataKey])!));
        Assert.Empty(Layer.Kinds.Except(kinds));
    }

    [Theory]
    [MemberData(nameof(All))]
    public void AModelHasTheBitsOfItsFile(string folder, string name)
    {
        string path = PathOf(Path.Combine(s_root, folder), name);
        var raw = new RawFile(path);
        using Model model = Model.Load(path);
        foreach (ParameterInfo parameter in model.Parameters)
        {
            Assert.Equal(Bits(raw.Floats(parameter.Name)), Bits(model.GetParameter(parameter.Name)));
        }

        using var temporary = new TempFolder();
        string again = temporary.File("again.safetensors");
        model.Save(again);
        var saved = new RawFile(again);
        Assert.Equal(model.Parameters.Select(parameter => parameter.Name), saved.Tensors.Keys);
        foreach (string tensor in saved.Tensors.Keys)
        {
            Assert.Equal(raw.Types[tensor], saved.Types[tensor]);
            Assert.Equal(raw.Tensors[tensor], saved.Tensors[tensor]);
        }
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void AModelComputesWhatItDid(string folder, string name)
    {
        var expected = new RawFile(Path.Combine(s_root, folder, KeptFiles.ExpectedFile));
        using Model model = Model.Load(PathOf(Path.Combine(s_root, folder), name));
        NormWise.AssertClose(name, expected.Floats($"{name}/output"), model.Forward(expected.Floats($"{name}/input"), KeptFiles.Batch), 1e-5);
    }

    [Theory]
    [MemberData(nameof(Checkpoints))]
    public void ATrainerGoesOnFromItsCheckpoint(string folder, string name)
    {
        string path = PathOf(Path.Combine(s_root, folder), name);
        var expected = new RawFile(Path.Combine(s_root, folder, KeptFiles.ExpectedFile));
        using Model model = Model.Load(path);
        using Trainer trainer = KeptFiles.CreateTrainer(name, model);
        trainer.LoadCheckpoint(path);

        // The optimizer's state and the counters have the bits of the file, too.
        using var temporary = new TempFolder();
        string again = temporary.File("again.safetensors");
        trainer.SaveCheckpoint(again);
        var raw = new RawFile(path);
        var saved = new RawFile(again);
        foreach (string tensor in raw.Tensors.Keys)
        {
            Assert.Equal(raw.Types[tensor], saved.Types[tensor]);
            Assert.Equal(raw.Tensors[tensor], saved.Tensors[tensor]);
        }

        const string key = "mnistnative.training";
        using JsonDocument before = JsonDocument.Parse(raw.Metadata[key]);
        using JsonDocument after = JsonDocument.Parse(saved.Metadata[key]);
        foreach (string counter in new[] { "seed", "updates", "batches", "learning_rate" })
        {
            Assert.Equal(before.RootElement.GetProperty(counter).GetRawText(), after.RootElement.GetProperty(counter).GetRawText());
        }

        using Model other = Model.Load(again);
        using Trainer second = KeptFiles.CreateTrainer(name, other);
        second.LoadCheckpoint(again);
        float[] losses = KeptFiles.Continue(trainer);
        Assert.Equal(Bits(losses), Bits(KeptFiles.Continue(second)));
        Assert.Equal(Bits(KeptFiles.ParametersOf(model)), Bits(KeptFiles.ParametersOf(other)));
        NormWise.AssertClose(name, expected.Floats($"{name}/losses"), losses, 1e-5);
        NormWise.AssertClose(name, expected.Floats($"{name}/parameters"), KeptFiles.ParametersOf(model), 1e-4);
    }

    [Theory]
    [MemberData(nameof(Fits))]
    public void AFitGoesOnFromItsCheckpoint(string folder, string name)
    {
        string path = PathOf(Path.Combine(s_root, folder), name);
        var expected = new RawFile(Path.Combine(s_root, folder, KeptFiles.ExpectedFile));
        using Model model = Model.Load(path);
        float[] losses = KeptFiles.Resume(name, model, path);
        NormWise.AssertClose(name, expected.Floats($"{name}/losses"), losses, 1e-4);
        NormWise.AssertClose(name, expected.Floats($"{name}/parameters"), KeptFiles.ParametersOf(model), 1e-3);
    }

    [Fact]
    public void ThisVersionWritesFilesOfAllNames()
    {
        using var temporary = new TempFolder();
        string folder = Environment.GetEnvironmentVariable(FolderVariable) ?? temporary.Path;
        KeptFiles.Write(folder);
        foreach (string name in KeptFiles.Names)
        {
            using Model model = Model.Load(PathOf(folder, name));
            Assert.NotEmpty(model.Parameters);
        }
    }

    private static TheoryData<string, string> Cases(IEnumerable<string> names)
    {
        var cases = new TheoryData<string, string>();
        foreach (string folder in Folders)
        {
            foreach (string name in names.Where(name => File.Exists(PathOf(folder, name))))
            {
                cases.Add(Path.GetFileName(folder), name);
            }
        }

        return cases;
    }

    private static string PathOf(string folder, string name) => Path.Combine(folder, name + ".safetensors");

    private static int[] Bits(float[] values) => [.. values.Select(BitConverter.SingleToInt32Bits)];

    private static IEnumerable<string> Kinds(JsonNode node) => node switch
    {
        JsonObject properties => properties.SelectMany(property => property.Key == "type"
            ? [property.Value!.GetValue<string>()]
            : property.Value is null ? [] : Kinds(property.Value)),
        JsonArray elements => elements.SelectMany(element => element is null ? [] : Kinds(element)),
        _ => [],
    };
}
