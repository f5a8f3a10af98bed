using System.Buffers;
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
    public void GetParameter(string name, Span<float> values)
    {
        int index = IndexOf(name);
        CheckLength(index, values.Length);
        Read(index, MnParameterPart.Value, values);
    }

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
    /// <remarks>Predictions of other threads see either all of the old parameters or all of the new ones.</remarks>
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

        WriteAll([.. Parameters.Select((parameter, i) => new ParameterWrite(i, source.ReadExact(parameter.Name)))]);
    }

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

    private float[] ReadExact(string name)
    {
        int index = IndexOf(name);
        float[] values = new float[Parameters[index].ExactCount];
        Read(index, MnParameterPart.Value, values);
        return values;
    }

    /// <summary>Copies a part of a parameter, a counter's value perhaps as two floats.</summary>
    internal unsafe void Read(int index, MnParameterPart part, Span<float> values)
    {
        if (part != MnParameterPart.Value || values.Length != Parameters[index].ExactCount)
        {
            CheckLength(index, values.Length);
        }

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

    private unsafe void Write(int index, ReadOnlySpan<float> values)
    {
        using NativeHandle.Lease lease = _handle.Use();
        fixed (float* pointer = values)
        {
            Native.Check(NativeMethods.ModelWrite(lease.Value, index, (int)MnParameterPart.Value, pointer, (ulong)values.Length));
        }
    }

    /// <summary>
    /// Writes several parameters, or parts of their optimizer state, all or none: everything is checked before anything is
    /// written, and other threads' predictions see all of it or nothing.
    /// </summary>
    internal unsafe void WriteAll(IReadOnlyList<ParameterWrite> writes)
    {
        var natives = new MnParameterWrite[writes.Count];
        var pins = new MemoryHandle[writes.Count];
        try
        {
            for (int i = 0; i < natives.Length; i++)
            {
                pins[i] = writes[i].Values.AsMemory().Pin();
                natives[i] = new MnParameterWrite
                {
                    StructSize = (uint)sizeof(MnParameterWrite),
                    Index = writes[i].Index,
                    Part = (int)writes[i].Part,
                    Values = (float*)pins[i].Pointer,
                    ValueCount = (ulong)writes[i].Values.Length,
                };
            }

            using NativeHandle.Lease lease = _handle.Use();
            fixed (MnParameterWrite* pointer = natives)
            {
                Native.Check(NativeMethods.ModelWriteAll(lease.Value, pointer, natives.Length));
            }
        }
        finally
        {
            foreach (MemoryHandle pin in pins)
            {
                pin.Dispose();
            }
        }
    }
}

/// <summary>New values of one part of one parameter.</summary>
/// <param name="Index">Index of the parameter.</param>
/// <param name="Values">The values, in PyTorch's layout.</param>
/// <param name="Part">What they are.</param>
internal readonly record struct ParameterWrite(int Index, float[] Values, MnParameterPart Part = MnParameterPart.Value);
