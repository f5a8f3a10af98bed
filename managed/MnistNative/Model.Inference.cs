using System.Buffers;
using MnistNative.Interop;

namespace MnistNative;

public sealed partial class Model
{
    // Scores of a small batch lie on the stack.
    private const int StackScores = 256;

    /// <summary>
    /// Runs the network. PyTorch: <c>model.eval()(x)</c>; Keras: <c>model(x, training=False)</c>.
    /// </summary>
    /// <param name="images">Any number of images, N×C×H×W.</param>
    /// <returns>A new array with the outputs, N×<see cref="OutputLength"/>: for a classifier its raw scores (logits).</returns>
    /// <exception cref="ArgumentException">The span holds no whole number of images.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public float[] Forward(ReadOnlySpan<float> images)
    {
        float[] outputs = NewOutputs(images.Length);
        Forward(images, outputs);
        return outputs;
    }

    /// <summary>Runs the network on bytes, which are divided by 255; see <see cref="Forward(ReadOnlySpan{float})"/>.</summary>
    /// <inheritdoc cref="Forward(ReadOnlySpan{float})"/>
    public float[] Forward(ReadOnlySpan<byte> images)
    {
        float[] outputs = NewOutputs(images.Length);
        Forward(images, outputs);
        return outputs;
    }

    /// <summary>Runs the network and allocates nothing; see <see cref="Forward(ReadOnlySpan{float})"/>.</summary>
    /// <param name="images">Any number of images, N×C×H×W.</param>
    /// <param name="outputs">Receives the outputs; its length must be N×<see cref="OutputLength"/>.</param>
    /// <exception cref="ArgumentException">A span's length does not fit.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public void Forward(ReadOnlySpan<float> images, Span<float> outputs) => Run(images, outputs);

    /// <summary>Runs the network on bytes and allocates nothing; see <see cref="Forward(ReadOnlySpan{float}, Span{float})"/>.</summary>
    /// <inheritdoc cref="Forward(ReadOnlySpan{float}, Span{float})"/>
    public void Forward(ReadOnlySpan<byte> images, Span<float> outputs) => Run(images, outputs);

    /// <summary>The class of each image: the index of its largest score, the first of equals.</summary>
    /// <param name="images">Any number of images, N×C×H×W.</param>
    /// <returns>A new array with the N classes.</returns>
    /// <exception cref="ArgumentException">The span holds no whole number of images.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public int[] Predict(ReadOnlySpan<float> images)
    {
        int[] classes = new int[NativeBatch.CountImages(images.Length, InputShape, nameof(images))];
        Predict(images, classes);
        return classes;
    }

    /// <summary>The class of each image of bytes, which are divided by 255; see <see cref="Predict(ReadOnlySpan{float})"/>.</summary>
    /// <inheritdoc cref="Predict(ReadOnlySpan{float})"/>
    public int[] Predict(ReadOnlySpan<byte> images)
    {
        int[] classes = new int[NativeBatch.CountImages(images.Length, InputShape, nameof(images))];
        Predict(images, classes);
        return classes;
    }

    /// <summary>The class of each image, without allocating; see <see cref="Predict(ReadOnlySpan{float})"/>.</summary>
    /// <param name="images">Any number of images, N×C×H×W.</param>
    /// <param name="classes">Receives the classes; its length must be N.</param>
    /// <exception cref="ArgumentException">A span's length does not fit.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public void Predict(ReadOnlySpan<float> images, Span<int> classes) => Classify(images, classes);

    /// <summary>The class of each image of bytes, without allocating; see <see cref="Predict(ReadOnlySpan{float}, Span{int})"/>.</summary>
    /// <inheritdoc cref="Predict(ReadOnlySpan{float}, Span{int})"/>
    public void Predict(ReadOnlySpan<byte> images, Span<int> classes) => Classify(images, classes);

    /// <summary>
    /// The probability of every class for each image: the softmax of the scores, or the output itself where the network
    /// ends in a softmax.
    /// </summary>
    /// <param name="images">Any number of images, N×C×H×W.</param>
    /// <returns>A new array with the probabilities, N×<see cref="OutputLength"/>.</returns>
    /// <exception cref="ArgumentException">The span holds no whole number of images.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public float[] PredictProbabilities(ReadOnlySpan<float> images)
    {
        float[] probabilities = NewOutputs(images.Length);
        PredictProbabilities(images, probabilities);
        return probabilities;
    }

    /// <summary>
    /// The probability of every class for each image of bytes, which are divided by 255; see
    /// <see cref="PredictProbabilities(ReadOnlySpan{float})"/>.
    /// </summary>
    /// <inheritdoc cref="PredictProbabilities(ReadOnlySpan{float})"/>
    public float[] PredictProbabilities(ReadOnlySpan<byte> images)
    {
        float[] probabilities = NewOutputs(images.Length);
        PredictProbabilities(images, probabilities);
        return probabilities;
    }

    /// <summary>
    /// The probability of every class for each image, without allocating; see
    /// <see cref="PredictProbabilities(ReadOnlySpan{float})"/>.
    /// </summary>
    /// <param name="images">Any number of images, N×C×H×W.</param>
    /// <param name="probabilities">Receives the probabilities; its length must be N×<see cref="OutputLength"/>.</param>
    /// <exception cref="ArgumentException">A span's length does not fit.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public void PredictProbabilities(ReadOnlySpan<float> images, Span<float> probabilities)
    {
        Run(images, probabilities);
        ToProbabilities(probabilities);
    }

    /// <summary>
    /// The probability of every class for each image of bytes, without allocating; see
    /// <see cref="PredictProbabilities(ReadOnlySpan{float}, Span{float})"/>.
    /// </summary>
    /// <inheritdoc cref="PredictProbabilities(ReadOnlySpan{float}, Span{float})"/>
    public void PredictProbabilities(ReadOnlySpan<byte> images, Span<float> probabilities)
    {
        Run(images, probabilities);
        ToProbabilities(probabilities);
    }

    private float[] NewOutputs(int values) =>
        new float[NativeBatch.CountImages(values, InputShape, "images") * OutputLength];

    private unsafe void Run<T>(ReadOnlySpan<T> images, Span<float> outputs)
        where T : unmanaged
    {
        int count = NativeBatch.CountImages(images.Length, InputShape, nameof(images));
        if (outputs.Length != (long)count * OutputLength)
        {
            throw new ArgumentException(
                $"{count} images give {(long)count * OutputLength} values ({OutputLength} each), the span has {outputs.Length}.",
                nameof(outputs));
        }

        using NativeHandle.Lease lease = _handle.Use();
        if (count == 0)
        {
            return;
        }

        fixed (T* from = images)
        fixed (float* to = outputs)
        {
            MnBatch batch = NativeBatch.Of(from, count, _imageLength, labels: null);
            var output = new MnOutput
            {
                StructSize = (uint)sizeof(MnOutput),
                Index = 0,
                Values = to,
                ValueCount = (ulong)outputs.Length,
            };
            Native.Check(NativeMethods.ModelForward(lease.Value, &batch, &output, 1));
        }
    }

    private void Classify<T>(ReadOnlySpan<T> images, Span<int> classes)
        where T : unmanaged
    {
        int count = NativeBatch.CountImages(images.Length, InputShape, nameof(images));
        if (classes.Length != count)
        {
            throw new ArgumentException(
                $"There are {count} images, the span for their classes has {classes.Length} places.", nameof(classes));
        }

        int length = checked(count * OutputLength);
        float[]? rented = length <= StackScores ? null : ArrayPool<float>.Shared.Rent(length);
        try
        {
            Span<float> scores = rented is null ? stackalloc float[StackScores] : rented;
            scores = scores[..length];
            Run(images, scores);
            for (int i = 0; i < count; i++)
            {
                classes[i] = IndexOfLargest(scores.Slice(i * OutputLength, OutputLength));
            }
        }
        finally
        {
            if (rented is not null)
            {
                ArrayPool<float>.Shared.Return(rented);
            }
        }
    }

    // As the native library counts hits: the first of equals.
    private static int IndexOfLargest(ReadOnlySpan<float> scores)
    {
        int best = 0;
        for (int i = 1; i < scores.Length; i++)
        {
            if (scores[i] > scores[best])
            {
                best = i;
            }
        }

        return best;
    }

    private void ToProbabilities(Span<float> scores)
    {
        if (Network.EndsInSoftmax)
        {
            return;
        }

        for (int start = 0; start < scores.Length; start += OutputLength)
        {
            Span<float> row = scores.Slice(start, OutputLength);
            float largest = row[IndexOfLargest(row)];
            double sum = 0;
            for (int i = 0; i < row.Length; i++)
            {
                row[i] = MathF.Exp(row[i] - largest);
                sum += row[i];
            }

            for (int i = 0; i < row.Length; i++)
            {
                row[i] = (float)(row[i] / sum);
            }
        }
    }
}
