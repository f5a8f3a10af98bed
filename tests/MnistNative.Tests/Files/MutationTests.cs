using System.Diagnostics;
using System.Globalization;
using MnistNative.IO;
using MnistNative.Tests.Data;

namespace MnistNative.Tests.Files;

/// <summary>
/// Every reader meets thousands of damaged files: it refuses them by the exceptions that it documents, soon, and without
/// taking memory that the file's size does not explain. MNISTNATIVE_MUTATIONS is the number of files a reader, 20,000 unless
/// set; MNISTNATIVE_MUTATION_SEED repeats a run.
/// </summary>
public sealed class MutationTests : IDisposable
{
    private static readonly TimeSpan s_most = TimeSpan.FromSeconds(20);
    private const long MostBytes = 256L << 20;

    private static readonly int s_count = Number("MNISTNATIVE_MUTATIONS", 20_000);
    private static readonly int s_seed = Number("MNISTNATIVE_MUTATION_SEED", Random.Shared.Next(1_000_000_000));

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void TheReaderOfSafeTensors() => Run(
        KeptFiles.Names,
        (mutator, file) => mutator.SafeTensors(file),
        path =>
        {
            using SafeTensorsReader reader = SafeTensorsReader.Open(path);
            foreach (TensorEntry tensor in reader.Tensors.Where(tensor => tensor.Type.IsFloat))
            {
                reader.Read(tensor, new float[tensor.Count]);
            }
        });

    [Fact]
    public void TheReaderOfModels() => Run(
        KeptFiles.Names, (mutator, file) => mutator.SafeTensors(file), path => Model.Load(path).Dispose());

    [Fact]
    public void TheReaderOfDescriptions()
    {
        string[] texts = [.. KeptFiles.Networks.Values.Select(network => ArchitectureFormat.Write(network))];
        Repeat((seed, round) =>
        {
            string text = new Mutator(seed).Json(texts[round % texts.Length]);
            return () =>
            {
                try
                {
                    _ = ArchitectureFormat.Read(text).Summary();
                }
                catch (Exception e) when (e is FormatException or ArgumentException)
                {
                    // The second is a network whose layers do not fit together; Model.Load makes both one.
                }
            };
        });
    }

    [Fact]
    public void TheReaderOfParametersLeavesTheModelAsItWas()
    {
        using Model model = Model.Load(Kept("adam"));
        float[] before = KeptFiles.ParametersOf(model);
        Run(
            ["adam", "sgd", "fit-plateau"],
            (mutator, file) => mutator.SafeTensors(file),
            path =>
            {
                try
                {
                    model.LoadParameters(path);
                    model.LoadParameters(Kept("adam"));
                }
                catch (InvalidDataException)
                {
                    Assert.Equal(before, KeptFiles.ParametersOf(model));
                    throw;
                }
            });
    }

    [Fact]
    public void TheReaderOfCheckpointsLeavesTheTrainingAsItWas()
    {
        using Model model = Model.Load(Kept("adam-amsgrad"));
        using Trainer trainer = KeptFiles.CreateTrainer("adam-amsgrad", model);
        trainer.LoadCheckpoint(Kept("adam-amsgrad"));
        float[] before = KeptFiles.ParametersOf(model);
        float rate = trainer.LearningRate;
        Run(
            ["adam-amsgrad", "adam", "fit-plateau"],
            (mutator, file) => mutator.SafeTensors(file),
            path =>
            {
                try
                {
                    trainer.LoadCheckpoint(path);
                    trainer.LoadCheckpoint(Kept("adam-amsgrad"));
                }
                catch (InvalidDataException)
                {
                    Assert.Equal(before, KeptFiles.ParametersOf(model));
                    Assert.Equal(rate, trainer.LearningRate);
                    throw;
                }
            });
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void TheReaderOfIdxFiles(bool packed)
    {
        byte[] labels = IdxBytes.Labels([.. Enumerable.Range(0, 20).Select(i => (byte)(i % 10))]);
        byte[] images = IdxBytes.Images(20);
        string other = _folder.File("other");
        Repeat((seed, round) =>
        {
            var mutator = new Mutator(seed);
            bool damageLabels = round % 2 == 0;
            byte[] bytes = damageLabels ? labels : images;
            bytes = packed ? mutator.Bytes(IdxBytes.Gzip(round % 3 == 0 ? mutator.Bytes(bytes) : bytes)) : mutator.Bytes(bytes);
            string path = _folder.File("damaged");
            File.WriteAllBytes(path, bytes);
            File.WriteAllBytes(other, damageLabels ? images : labels);
            return () => Refuses(() => _ = IdxFile.ReadDataset(
                damageLabels ? other : path, damageLabels ? path : other, round % 5 == 0 ? 10 : null));
        });
    }

    private static string Kept(string name) => Path.Combine(AppContext.BaseDirectory, "files", "2", name + ".safetensors");

    private void Run(IEnumerable<string> names, Func<Mutator, byte[], byte[]> damage, Action<string> read)
    {
        byte[][] files = [.. names.Select(name => File.ReadAllBytes(Kept(name)))];
        string path = _folder.File("damaged");
        Repeat((seed, round) =>
        {
            File.WriteAllBytes(path, damage(new Mutator(seed), files[round % files.Length]));
            return () => Refuses(() => read(path));
        });
    }

    // A description may ask for images that do not fit into memory; no other exception is allowed.
    private static void Refuses(Action read)
    {
        try
        {
            read();
        }
        catch (Exception e) when (e is InvalidDataException or MnistNativeOutOfMemoryException)
        {
            Assert.InRange(e.Message.Length, 1, 100_000);
        }
    }

    private static void Repeat(Func<int, int, Action> prepare)
    {
        for (int round = 0; round < s_count; round++)
        {
            Action read = prepare(unchecked(s_seed + (round * 7919)), round);
            long bytes = GC.GetAllocatedBytesForCurrentThread();
            Stopwatch clock = Stopwatch.StartNew();
            try
            {
                read();
            }
            catch (Exception e)
            {
                Assert.Fail($"MNISTNATIVE_MUTATION_SEED={s_seed}, round {round}: {e}");
            }

            bytes = GC.GetAllocatedBytesForCurrentThread() - bytes;
            Assert.True(clock.Elapsed < s_most, $"MNISTNATIVE_MUTATION_SEED={s_seed}, round {round}: {clock.Elapsed}");
            Assert.True(bytes < MostBytes, $"MNISTNATIVE_MUTATION_SEED={s_seed}, round {round}: {bytes} bytes");
        }
    }

    private static int Number(string variable, int otherwise) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : otherwise;
}
