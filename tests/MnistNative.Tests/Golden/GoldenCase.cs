using System.Text.Json;

namespace MnistNative.Tests.Golden;

/// <summary>
/// One case: an op, its parameters in PyTorch's words, and tensors. It notes what was asked for, so that nothing that
/// the file says is left unchecked.
/// </summary>
internal sealed class GoldenCase(JsonElement description, Dictionary<string, GoldenTensor> tensors, Device device)
{
    private readonly HashSet<string> _used = ["name", "op"];

    /// <summary>The device that is tested.</summary>
    public Device Device => device;

    public string Op { get; } = description.GetProperty("op").GetString()!;

    /// <summary>The values of a tensor.</summary>
    public float[] this[string tensor] => Tensor(tensor).Values;

    public bool Has(string tensor) => tensors.ContainsKey(tensor);

    /// <summary>Names of the tensors that begin so, without that beginning.</summary>
    public IEnumerable<string> NamesUnder(string prefix) =>
        tensors.Keys.Where(name => name.StartsWith(prefix, StringComparison.Ordinal)).Select(name => name[prefix.Length..]);

    public GoldenTensor Tensor(string name)
    {
        _used.Add(name);
        return tensors.TryGetValue(name, out GoldenTensor? tensor)
            ? tensor
            : throw new InvalidDataException($"The case has no tensor {name}.");
    }

    public int Int(string parameter) => Parameter(parameter).GetInt32();

    public float Number(string parameter) => (float)Parameter(parameter).GetDouble();

    public bool Bool(string parameter) => Parameter(parameter).GetBoolean();

    public string Text(string parameter) => Parameter(parameter).GetString()!;

    public float[] Numbers(string parameter) =>
        [.. Parameter(parameter).EnumerateArray().Select(number => (float)number.GetDouble())];

    /// <summary>A size, written as one number or as [height, width].</summary>
    public Size2D Size(string parameter)
    {
        JsonElement value = Parameter(parameter);
        return value.ValueKind == JsonValueKind.Array ? (value[0].GetInt32(), value[1].GetInt32()) : value.GetInt32();
    }

    /// <summary>Ends the test as skipped, because the library has no such op.</summary>
    public void SkipMissing(string detail = "") => Assert.Skip($"op {Op}{detail} does not exist yet");

    /// <summary>Fails where the case says something that its test has not looked at.</summary>
    public void AssertAllUsed()
    {
        string[] unused =
        [
            .. description.EnumerateObject().Select(property => property.Name).Concat(tensors.Keys).Where(name => !_used.Contains(name)),
        ];
        Assert.True(unused.Length == 0, $"The test of op {Op} knows nothing of {string.Join(", ", unused)}.");
    }

    private JsonElement Parameter(string name)
    {
        _used.Add(name);
        return description.TryGetProperty(name, out JsonElement value)
            ? value
            : throw new InvalidDataException($"The case has no parameter {name}.");
    }
}
