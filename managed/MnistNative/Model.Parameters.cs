using MnistNative.Interop;

namespace MnistNative;

public sealed partial class Model
{
    private readonly Dictionary<string, int> _parameterIndex;

    /// <summary>
    /// The parameters in the order of the network, with PyTorch's names and layouts. PyTorch: <c>named_parameters()</c>
    /// and <c>named_buffers()</c>; Keras: <c>weights</c>.
    /// </summary>
    public IReadOnlyList<ParameterInfo> Parameters { get; }

    /// <summary>Copies a parameter.</summary>
    /// <param name="name">Its name, for example <c>0.weight</c>.</param>
    /// <returns>A new array with its values, in PyTorch's layout.</returns>
    /// <exception cref="ArgumentException">There is no such parameter.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public float[] GetParameter(string name) => ReadNew(name, MnParameterPart.Value);

    /// <summary>Copies a parameter into a span.</summary>
    /// <param name="name">Its name, for example <c>0.weight</c>.</param>
    /// <param name="values">Receives the values, in PyTorch's layout; its length must be that of the parameter.</param>
    /// <exception cref="ArgumentException">There is no such parameter, or it has another length.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public void GetParameter(string name, Span<float> values) => Read(IndexOf(name), MnParameterPart.Value, values);

    /// <summary>
    /// Copies the gradient of a parameter as of the last step, or of the batches accumulated since. PyTorch:
    /// <c>parameter.grad</c>.
    /// </summary>
    /// <param name="name">The parameter's name.</param>
    /// <returns>A new array with the gradient, in the parameter's layout.</returns>
    /// <exception cref="ArgumentException">There is no such parameter.</exception>
    /// <exception cref="InvalidOperationException">There is no gradient: the model is not being trained.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public float[] GetGradient(string name) => ReadNew(name, MnParameterPart.Gradient);

    /// <summary>Copies the gradient of a parameter into a span; see <see cref="GetGradient(string)"/>.</summary>
    /// <param name="name">The parameter's name.</param>
    /// <param name="values">Receives the gradient; its length must be that of the parameter.</param>
    /// <exception cref="ArgumentException">There is no such parameter, or it has another length.</exception>
    /// <exception cref="InvalidOperationException">There is no gradient: the model is not being trained.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public void GetGradient(string name, Span<float> values) => Read(IndexOf(name), MnParameterPart.Gradient, values);

    /// <summary>Replaces the values of a parameter.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="values">The new values, in PyTorch's layout; as many as the parameter has.</param>
    /// <exception cref="ArgumentException">There is no such parameter, or it has another length.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public void SetParameter(string name, ReadOnlySpan<float> values)
    {
        int index = IndexOf(name);
        CheckLength(index, values.Length);
        Write(index, values);
    }

    /// <summary>
    /// Takes over all parameters of a model with the same names and shapes. PyTorch:
    /// <c>load_state_dict(other.state_dict())</c>.
    /// </summary>
    /// <param name="source">Where the values come from; it may be on another device.</param>
    /// <exception cref="ArgumentException">The models' parameters differ in name or shape; nothing was copied.</exception>
    /// <exception cref="ObjectDisposedException">A model is disposed.</exception>
    public void CopyParametersFrom(Model source)
    {
        ArgumentNullException.ThrowIfNull(source);
        foreach (ParameterInfo parameter in Parameters)
        {
            if (!source._parameterIndex.TryGetValue(parameter.Name, out int index))
            {
                throw new ArgumentException($"The source has no parameter \"{parameter.Name}\".", nameof(source));
            }

            if (!source.Parameters[index].Shape.SequenceEqual(parameter.Shape))
            {
                throw new ArgumentException(
                    $"The source's parameter is {source.Parameters[index]}, and {parameter} is needed.", nameof(source));
            }
        }

        if (source.Parameters.Count != Parameters.Count)
        {
            throw new ArgumentException(
                $"The source has {source.Parameters.Count} parameters, and {Parameters.Count} are needed.", nameof(source));
        }

        float[] buffer = new float[LargestParameter];
        for (int i = 0; i < Parameters.Count; i++)
        {
            Span<float> values = buffer.AsSpan(0, Parameters[i].Count);
            source.Read(source._parameterIndex[Parameters[i].Name], MnParameterPart.Value, values);
            Write(i, values);
        }
    }

    private int LargestParameter => Parameters.Count == 0 ? 0 : Parameters.Max(parameter => parameter.Count);

    private int IndexOf(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return _parameterIndex.TryGetValue(name, out int index)
            ? index
            : throw new ArgumentException(
                $"There is no parameter \"{name}\"; there are {string.Join(", ", Parameters.Select(parameter => parameter.Name))}.",
                nameof(name));
    }

    private void CheckLength(int index, int length)
    {
        if (length != Parameters[index].Count)
        {
            throw new ArgumentException(
                $"Parameter {Parameters[index]} has {Parameters[index].Count} values, the span {length}.", "values");
        }
    }

    private float[] ReadNew(string name, MnParameterPart part)
    {
        int index = IndexOf(name);
        float[] values = new float[Parameters[index].Count];
        Read(index, part, values);
        return values;
    }

    internal unsafe void Read(int index, MnParameterPart part, Span<float> values)
    {
        CheckLength(index, values.Length);
        using NativeHandle.Lease lease = _handle.Use();
        fixed (float* pointer = values)
        {
            MnStatus status = NativeMethods.ModelRead(lease.Value, index, (int)part, pointer, (ulong)values.Length);
            if (status == MnStatus.NotFound)
            {
                throw new InvalidOperationException(Native.ExceptionFor(status).Message);
            }

            Native.Check(status);
        }
    }

    internal unsafe void Write(int index, ReadOnlySpan<float> values, MnParameterPart part = MnParameterPart.Value)
    {
        using NativeHandle.Lease lease = _handle.Use();
        fixed (float* pointer = values)
        {
            Native.Check(NativeMethods.ModelWrite(lease.Value, index, (int)part, pointer, (ulong)values.Length));
        }
    }
}
