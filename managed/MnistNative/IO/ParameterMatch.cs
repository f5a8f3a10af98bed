using MnistNative.Interop;

namespace MnistNative.IO;

/// <summary>Which tensors of a file belong to which parameters of a network, and what belongs to nothing.</summary>
internal sealed class ParameterMatch
{
    private const string Counter = "num_batches_tracked";
    private const string Companion = "running_mean";

    private readonly SafeTensorsReader _file;

    private ParameterMatch(SafeTensorsReader file) => _file = file;

    /// <summary>The parameters that the file has, by their index, with their tensors.</summary>
    public List<(int Index, TensorEntry Tensor)> Found { get; } = [];

    /// <summary>
    /// Counters of batches that the file does not have although it has the statistics they count for; they are zero. PyTorch's
    /// files from before version 0.4.1 are of this kind.
    /// </summary>
    public List<int> Zero { get; } = [];

    /// <summary>Parameters that the file does not have.</summary>
    public List<string> Missing { get; } = [];

    /// <summary>Tensors that the network does not have.</summary>
    public List<string> Unexpected { get; } = [];

    /// <summary>Parameters whose tensors have another shape, or a type that is no floating-point type.</summary>
    public List<MismatchedParameter> Mismatched { get; } = [];

    public static ParameterMatch Find(SafeTensorsReader file, IReadOnlyList<ParameterInfo> parameters)
    {
        var match = new ParameterMatch(file);
        var names = new HashSet<string>(StringComparer.Ordinal);
        for (int i = 0; i < parameters.Count; i++)
        {
            ParameterInfo parameter = parameters[i];
            names.Add(parameter.Name);
            if (file.TryGet(parameter.Name, out TensorEntry? tensor))
            {
                bool fits = parameter.IsCounter
                    ? tensor.Shape is [] or [1] && (tensor.Type.IsFloat || tensor.Type.IsWhole)
                    : tensor.Shape.SequenceEqual(parameter.Shape) && tensor.Type.IsFloat;
                if (fits)
                {
                    match.Found.Add((i, tensor));
                }
                else
                {
                    match.Mismatched.Add(new MismatchedParameter(parameter.Name, parameter.Shape, tensor.Shape, tensor.Type.Name));
                }
            }
            else if (parameter.IsCounter && file.TryGet(parameter.Name[..^Counter.Length] + Companion, out _))
            {
                match.Zero.Add(i);
            }
            else
            {
                match.Missing.Add(parameter.Name);
            }
        }

        // A checkpoint has the optimizer's state, too, which belongs to no parameter of the network.
        bool isCheckpoint = Checkpoint.SeedIn(file) is not null;
        string prefix = Checkpoint.PrefixFor(parameters);
        match.Unexpected.AddRange(file.Tensors
            .Select(tensor => tensor.Name)
            .Where(name => !names.Contains(name) && !(isCheckpoint && name.StartsWith(prefix, StringComparison.Ordinal))));
        return match;
    }

    /// <exception cref="InvalidDataException">Something is missing, unexpected or does not fit; the text names all of it.</exception>
    public void ThrowUnlessComplete()
    {
        var problems = new List<string>();
        AddTo(problems, "missing: ", Missing);
        AddTo(problems, "unexpected: ", Unexpected);
        AddTo(problems, "", Mismatched.Select(parameter => parameter.ToString()));
        if (problems.Count > 0)
        {
            throw new InvalidDataException(
                $"The parameters in \"{_file.Path}\" do not fit the network: {string.Join("; ", problems)}.");
        }
    }

    private static void AddTo(List<string> problems, string what, IEnumerable<string> names)
    {
        const int most = 100;
        string[] first = [.. names.Take(most + 1)];
        if (first.Length > 0)
        {
            problems.Add(what + string.Join(", ", first.Take(most)) + (first.Length > most ? " and others" : ""));
        }
    }
}
