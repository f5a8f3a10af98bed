using System.Reflection;
using System.Text.Json;
using System.Text.Json.Nodes;
using MnistNative.Bindgen;
using MnistNative.Interop;
using MnistNative.IO;
using MnistNative.Tests.Data;

namespace MnistNative.Tests.Files;

/// <summary>Model files whose network somebody has tampered with are refused, whatever stands in them.</summary>
public sealed class HostileNetworkTests
{
    private static readonly string[] s_values =
        ["-1", "0", "1", "2147483647", "1e300", "0.5", "\"x\"", "\"\"", "null", "true", "[]", "{}", "[1]", "[0,1]", "[1,1,1,1,1]", "[-5,7,9,11,13,15,17,19,21]"];

    /// <summary>Networks that have every kind of layer.</summary>
    private static readonly Sequential[] s_networks =
    [
        Sequential.Input(64, 8, 8)
            .Normalize(mean: new float[64], std: [.. Enumerable.Repeat(1f, 64)])
            .Conv2d(64, kernel: 3, padding: Padding.Same, groups: 64, paddingMode: PaddingMode.Reflect)
            .Conv2d(64, kernel: 3, stride: 2, padding: 1, dilation: 1, bias: false).BatchNorm2d()
            .ConvTranspose2d(64, kernel: 2, stride: 2)
            .MaxPool2d(2, name: "pool").MaxUnpool2d("pool").AvgPool2d(2, padding: 1)
            .AdaptiveAvgPool2d(4).AdaptiveMaxPool2d(2).Upsample(2, UpsampleMode.Bilinear)
            .GELU().GlobalAvgPool2d().Flatten().Linear(64).Softmax(),
        WithSimpleLayers(Sequential.Input(64)),
        Sequential.Input(64, 8, 8)
            .LayerNorm().GroupNorm(8).InstanceNorm2d(affine: true).LocalResponseNorm(5)
            .Dropout(0.5f).Dropout2d(0.25f).ChannelShuffle(8).Slice(0, 32).Scale(0.5f).PixelLinear(64)
            .Residual(b => b.Conv2d(64, kernel: 1).StochasticDepth(0.1f), shortcut: s => s.Conv2d(64, kernel: 1))
            .Add(a => a.ReLU(), b => b.Tanh()).Subtract(a => a.ReLU(), b => b.Tanh()).Multiply(a => a.GlobalAvgPool2d().Sigmoid())
            .Concat(a => a.ReLU(), b => b.Tanh()).Split(a => a.ReLU(), b => b.Tanh())
            .Highway(t => t.Conv2d(128, kernel: 1), g => g.Conv2d(128, kernel: 1).Sigmoid())
            .Block("body", b => b.Conv2d(32, kernel: 1).GlobalMaxPool2d())
            .Head("early", 0.3f, h => h.Flatten().Linear(64))
            .Flatten().Reshape(32, 1, 1).Flatten().Linear(64).LogSoftmax(),
        Sequential.Input(64)
            .Embedding(100, 64).Conv1d(64, kernel: 3, padding: 1).BatchNorm1d().MaxPool1d(2).AvgPool1d(2)
            .Flatten().Linear(64),
        Sequential.Input(64, 16).Conv1d(64, kernel: 3, padding: Padding.Same).Flatten().Linear(64),
    ];

    /// <summary>With every layer of the table of ops that takes features and needs no argument, or numbers: 0.5.</summary>
    private static Sequential WithSimpleLayers(Sequential network)
    {
        OpTable table = OpTable.Read(Path.Combine(Bindings.FindRepositoryRoot(AppContext.BaseDirectory), Bindings.TablePath));
        foreach (LayerRow layer in table.Layers.Where(layer => layer.Op is not null))
        {
            MethodInfo method = typeof(Sequential).GetMethods().First(method => method.Name == layer.Type);
            System.Reflection.ParameterInfo[] parameters = method.GetParameters();
            if (!parameters.All(parameter => parameter.HasDefaultValue || parameter.ParameterType == typeof(float)))
            {
                continue;
            }

            IEnumerable<object?> arguments = parameters.Select(parameter => parameter.HasDefaultValue ? parameter.DefaultValue : 0.5f);
            var longer = (Sequential)method.Invoke(network, [.. arguments])!;
            network = TakesFeatures(longer) ? longer : network;
        }

        return network;
    }

    private static bool TakesFeatures(Sequential network)
    {
        try
        {
            GraphBuilder.Build(network).Dispose();
            return true;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }

    /// <summary>Networks that have every kind of layer among them.</summary>
    internal static IReadOnlyList<Sequential> EveryLayer => s_networks;

    public static TheoryData<int> Networks => [.. Enumerable.Range(0, s_networks.Length)];

    [Fact]
    public void EveryKindOfLayerIsAmongThem()
    {
        HashSet<string> kinds = [.. s_networks.SelectMany(network => Places(JsonNode.Parse(ArchitectureFormat.Write(network))!))
            .Where(place => place.Name == "type").Select(place => place.Node!.GetValue<string>())];
        Assert.Empty(Layer.Kinds.Except(kinds));
    }

    [Theory]
    [MemberData(nameof(Networks))]
    public void AnythingInPlaceOfAnythingIsRefused(int index)
    {
        using var folder = new TempFolder();
        string path = folder.File("network.safetensors");
        string text = ArchitectureFormat.Write(s_networks[index]);
        int places = Places(JsonNode.Parse(text)!).Count();
        var escaped = new List<string>();
        for (int place = 0; place < places; place++)
        {
            foreach (string value in s_values)
            {
                JsonNode root = JsonNode.Parse(text)!;
                (JsonNode? node, string name) = Places(root).ElementAt(place);
                JsonNode? other = JsonNode.Parse(value);
                string where = node!.GetPath();
                node.ReplaceWith(other);
                string metadata = JsonSerializer.Serialize(root.ToJsonString());
                File.WriteAllBytes(path, SafeTensorsBytes.Make($$$"""{"__metadata__":{"{{{ArchitectureFormat.MetadataKey}}}":{{{metadata}}}}}""", []));
                try
                {
                    // The file has no parameters, so that only a network without any can be loaded.
                    using Model model = Model.Load(path);
                    if (model.Parameters.Count > 0)
                    {
                        escaped.Add($"{where} = {value}: loaded");
                    }
                }
                catch (Exception e) when (e is InvalidDataException or MnistNativeOutOfMemoryException)
                {
                    Assert.Contains("network.safetensors", e is InvalidDataException ? e.Message : path);
                }
                catch (Exception e)
                {
                    escaped.Add($"{where} = {value}: {e.GetType().Name}: {e.Message}");
                }
            }
        }

        Assert.True(escaped.Count == 0, string.Join('\n', escaped));
    }

    /// <summary>Everything below a node, with the name of the property that it is the value of.</summary>
    private static IEnumerable<(JsonNode? Node, string Name)> Places(JsonNode node)
    {
        IEnumerable<(JsonNode? Node, string Name)> children = node switch
        {
            JsonObject properties => properties.Select(property => (property.Value, property.Key)),
            JsonArray elements => elements.Select(element => (element, "")),
            _ => [],
        };
        foreach ((JsonNode? child, string name) in children)
        {
            yield return (child, name);
            foreach ((JsonNode? Node, string Name) below in child is null ? [] : Places(child))
            {
                yield return below;
            }
        }
    }
}
