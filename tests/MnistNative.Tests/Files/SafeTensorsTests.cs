using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using MnistNative.IO;
using MnistNative.Tests.Data;

namespace MnistNative.Tests.Files;

public sealed class SafeTensorsTests
{
    public static TheoryData<string, byte[]> Damaged()
    {
        const string good = """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""";
        static byte[] Entry(string entry, int bytes = 8) => SafeTensorsBytes.Make($$"""{"a":{{entry}}}""", new byte[bytes]);
        return new TheoryData<string, byte[]>
        {
            { "it has 0 bytes", [] },
            { "it has 5 bytes", new byte[5] },
            { "header would have 100", SafeTensorsBytes.Make(good, [], headerLength: 100) },
            { "may be no safetensors file", SafeTensorsBytes.Make(good, new byte[8], headerLength: -1) },
            { "may be no safetensors file", SafeTensorsBytes.Make(good, new byte[8], headerLength: 100_000_001) },
            { "not valid JSON", SafeTensorsBytes.Make("", []) },
            { "not valid JSON", SafeTensorsBytes.Make("""{"a":""", []) },
            { "not valid JSON", SafeTensorsBytes.Make(new string('[', 1000), []) },
            { "not an object", SafeTensorsBytes.Make("[]", []) },
            { "not an object", Entry("5") },
            { "no dtype", Entry("""{"shape":[2],"data_offsets":[0,8]}""") },
            { "format is of version 2000000, and this library reads versions up to 1", SafeTensorsBytes.Make("""{"__metadata__":{"mnistnative.format":"2000000"}}""", []) },
            { "the version of its format is \"1.0\"", SafeTensorsBytes.Make("""{"__metadata__":{"mnistnative.format":"1.0"}}""", []) },
            { "the version of its format is \"0\"", SafeTensorsBytes.Make("""{"__metadata__":{"mnistnative.format":"0"}}""", []) },
            { "lies at bytes 0 to 16", Entry("""{"dtype":"F4","shape":[2],"data_offsets":[0,16]}""") },
            { "end at byte 7", Entry("""{"dtype":"F4","shape":[2],"data_offsets":[0,7]}""") },
            { "no shape", Entry("""{"dtype":"F32","data_offsets":[0,8]}""") },
            { "whole numbers", Entry("""{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}""") },
            { "whole numbers", Entry("""{"dtype":"F32","shape":[1.5],"data_offsets":[0,8]}""") },
            { "whole numbers", Entry("""{"dtype":"F32","shape":["2"],"data_offsets":[0,8]}""") },
            { "impossible shape", Entry("""{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}""") },
            { "no data_offsets", Entry("""{"dtype":"F32","shape":[2]}""") },
            { "1 data_offsets", Entry("""{"dtype":"F32","shape":[2],"data_offsets":[8]}""") },
            { "lies at bytes 8 to 0", Entry("""{"dtype":"F32","shape":[2],"data_offsets":[8,0]}""") },
            { "lies at bytes 0 to 16", Entry("""{"dtype":"F32","shape":[4],"data_offsets":[0,16]}""") },
            { "needs 12 bytes and has 8", Entry("""{"dtype":"F32","shape":[3],"data_offsets":[0,8]}""") },
            { "end at byte 8", Entry("""{"dtype":"F32","shape":[2],"data_offsets":[0,8]}""", bytes: 9) },
            { "end at byte 0", SafeTensorsBytes.Make("{}", new byte[1]) },
            { "leaves a gap", Entry("""{"dtype":"F32","shape":[1],"data_offsets":[4,8]}""") },
            {
                "overlaps",
                SafeTensorsBytes.Make(
                    """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}""",
                    new byte[12])
            },
            {
                "\"a\" occurs twice",
                SafeTensorsBytes.Make(
                    """{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""",
                    new byte[8])
            },
            { "__metadata__ is not", SafeTensorsBytes.Make("""{"__metadata__":5}""", []) },
            { "\"k\" is not a string", SafeTensorsBytes.Make("""{"__metadata__":{"k":5}}""", []) },
            { "\"k\" occurs twice", SafeTensorsBytes.Make("""{"__metadata__":{"k":"1","k":"2"}}""", []) },
            { "__metadata__ occurs twice", SafeTensorsBytes.Make("""{"__metadata__":{},"__metadata__":{}}""", []) },
            { "not valid JSON", SafeTensorsBytes.Make("""{"__metadata__":{"k":"\ud800"}}""", []) },
        };
    }

    [Theory]
    [MemberData(nameof(Damaged))]
    public void ADamagedFileIsRefusedWithItsProblem(string problem, byte[] content)
    {
        using var folder = new TempFolder();
        string path = folder.File("damaged.safetensors");
        File.WriteAllBytes(path, content);
        InvalidDataException e = Assert.Throws<InvalidDataException>(() => SafeTensorsReader.Open(path));
        Assert.Contains(problem, e.Message);
        Assert.Contains(path, e.Message);
        Assert.Throws<InvalidDataException>(() => Model.Load(path));
    }

    [Fact]
    public void RandomDamageNeverCrashes()
    {
        using var folder = new TempFolder();
        string path = folder.File("damaged.safetensors");
        int seed = Random.Shared.Next();
        var random = new Random(seed);
        byte[] good = SafeTensorsBytes.Make(("a", [2, 3], new float[6]), ("b", [4], new float[4]));
        for (int i = 0; i < 2000; i++)
        {
            byte[] bad = good[..(random.Next(4) == 0 ? random.Next(good.Length) : good.Length)];
            for (int k = random.Next(4); k > 0 && bad.Length > 0; k--)
            {
                bad[random.Next(bad.Length)] = (byte)random.Next(256);
            }

            File.WriteAllBytes(path, bad);
            try
            {
                using SafeTensorsReader reader = SafeTensorsReader.Open(path);
                foreach (TensorEntry tensor in reader.Tensors.Where(tensor => tensor.Type.IsFloat))
                {
                    reader.Read(tensor, new float[tensor.Count]);
                }
            }
            catch (InvalidDataException)
            {
            }
            catch (Exception e)
            {
                Assert.Fail($"seed {seed}, round {i}: {e}");
            }
        }
    }

    [Fact]
    public void OtherFloatingPointTypesAreConverted()
    {
        using var folder = new TempFolder();
        string path = folder.File("types.safetensors");
        float[] values = [0, -1.5f, 65504, 2.5f];
        byte[] data = new byte[(8 + 2 + 2) * 4];
        for (int i = 0; i < 4; i++)
        {
            BinaryPrimitives.WriteDoubleLittleEndian(data.AsSpan(i * 8), values[i]);
            BinaryPrimitives.WriteHalfLittleEndian(data.AsSpan(32 + (i * 2)), (Half)values[i]);
            BinaryPrimitives.WriteUInt16LittleEndian(
                data.AsSpan(40 + (i * 2)), (ushort)(BitConverter.SingleToInt32Bits(values[i]) >> 16));
        }

        File.WriteAllBytes(path, SafeTensorsBytes.Make(
            """
            {"d":{"dtype":"F64","shape":[4],"data_offsets":[0,32]},
             "h":{"dtype":"F16","shape":[4],"data_offsets":[32,40]},
             "b":{"dtype":"BF16","shape":[4],"data_offsets":[40,48]}}
            """,
            data));
        using SafeTensorsReader reader = SafeTensorsReader.Open(path);
        Assert.Equal(values, Read("d"));
        Assert.Equal(values, Read("h"));
        Assert.Equal([0, -1.5f, 65280, 2.5f], Read("b"));

        float[] Read(string name)
        {
            Assert.True(reader.TryGet(name, out TensorEntry? tensor));
            float[] result = new float[tensor.Count];
            reader.Read(tensor, result);
            return result;
        }
    }

    [Fact]
    public void TheWriterKeepsToTheFormat()
    {
        using var folder = new TempFolder();
        string path = folder.File("written.safetensors");
        SafeTensorsWriter.Write(
            path,
            new Dictionary<string, string> { ["z"] = "1", ["a"] = "é\"" },
            [new TensorToWrite("w", [2, 3], 6), new TensorToWrite("s", [], 1)],
            (index, values) => values.Fill(index + 1));
        byte[] file = File.ReadAllBytes(path);
        long length = BinaryPrimitives.ReadInt64LittleEndian(file);
        Assert.Equal(0, (8 + length) % 8);
        Assert.Equal((byte)'{', file[8]);
        Assert.Equal(8 + length + (7 * 4), file.Length);
        using JsonDocument header = JsonDocument.Parse(file.AsMemory(8, (int)length));
        Assert.Equal("é\"", header.RootElement.GetProperty("__metadata__").GetProperty("a").GetString());
        Assert.Equal("[24,28]", header.RootElement.GetProperty("s").GetProperty("data_offsets").GetRawText());
        Assert.StartsWith("""{"__metadata__":{"a":"é""", Encoding.UTF8.GetString(file, 8, 40));

        using SafeTensorsReader reader = SafeTensorsReader.Open(path);
        Assert.Equal(["w", "s"], reader.Tensors.Select(tensor => tensor.Name));
    }

    [Fact]
    public void AFailedWriteLeavesTheOldFileAndNoOther()
    {
        using var folder = new TempFolder();
        string path = folder.File("model.safetensors");
        File.WriteAllText(path, "old");
        Assert.Throws<IOException>(() => SafeTensorsWriter.Write(
            path,
            new Dictionary<string, string>(),
            [new TensorToWrite("a", [1], 1), new TensorToWrite("b", [1], 1)],
            (index, _) =>
            {
                if (index == 1)
                {
                    throw new IOException("full");
                }
            }));
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(folder.Path));
    }
}
