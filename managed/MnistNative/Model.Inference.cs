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
    /// <param name="images">One image, C×H×W; or as many as <paramref name="count"/> says, N×C×H×W.</param>
    /// <param name="count">Number N of images.</param>
    /// <returns>A new array with the outputs, N×<see cref="OutputLength"/>: for a classifier its raw scores (logits).</returns>
    /// <exception cref="ArgumentException">The span does not hold that many images.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public float[] Forward(ReadOnlySpan<float> images, int count = 1)
    {
        float[] outputs = NewOutputs(images.Length, count);
        Forward(images, outputs);
        return outputs;
    }

    /// <summary>Runs the network on bytes, which are divided by 255; see <see cref="Forward(ReadOnlySpan{float}, int)"/>.</summary>
    /// <inheritdoc cref="Forward(ReadOnlySpan{float}, int)"/>
    public float[] Forward(ReadOnlySpan<byte> images, int count = 1)
    {
        float[] outputs = NewOutputs(images.Length, count);
        Forward(images, outputs);
        return outputs;
    }

    /// <summary>Runs the network and allocates nothing; see <see cref="Forward(ReadOnlySpan{float}, int)"/>.</summary>
    /// <param name="images">Any number of images, N×C×H×W.</param>
    /// <param name="outputs">Receives the outputs; its length must be N×<see cref="OutputLength"/>.</param>
    /// <exception cref="ArgumentException">A span's length does not fit.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public void Forward(ReadOnlySpan<float> images, Span<float> outputs) => Run(images, outputs);

    /// <summary>Runs the network on bytes and allocates nothing; see <see cref="Forward(ReadOnlySpan{float}, Span{float})"/>.</summary>
    /// <inheritdoc cref="Forward(ReadOnlySpan{float}, Span{float})"/>
    public void Forward(ReadOnlySpan<byte> images, Span<float> outputs) => Run(images, outputs);

    /// <summary>
    /// The class of each image: the index of its largest score, the first of equals; -1 for one with a NaN among its scores.
    /// </summary>
    /// <param name="images">One image, C×H×W; or as many as <paramref name="count"/> says, N×C×H×W.</param>
    /// <param name="count">Number N of images.</param>
    /// <returns>A new array with the N classes.</returns>
    /// <exception cref="ArgumentException">The span does not hold that many images.</exception>
    /// <exception cref="InvalidOperationException">
    /// The output is not one score a class: it has another shape, or was trained with a loss of values.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public int[] Predict(ReadOnlySpan<float> images, int count = 1)
    {
        CheckImages(images.Length, count);
        int[] classes = new int[count];
        Predict(images, classes);
        return classes;
    }

    /// <summary>The class of each image of bytes, which are divided by 255; see <see cref="Predict(ReadOnlySpan{float}, int)"/>.</summary>
    /// <inheritdoc cref="Predict(ReadOnlySpan{float}, int)"/>
    public int[] Predict(ReadOnlySpan<byte> images, int count = 1)
    {
        CheckImages(images.Length, count);
        int[] classes = new int[count];
        Predict(images, classes);
        return classes;
    }

    /// <summary>The class of each image, without allocating; see <see cref="Predict(ReadOnlySpan{float}, int)"/>.</summary>
    /// <param name="images">Any number of images, N×C×H×W.</param>
    /// <param name="classes">Receives the classes; its length must be N.</param>
    /// <exception cref="ArgumentException">A span's length does not fit.</exception>
    /// <exception cref="InvalidOperationException">
    /// The output is not one score a class: it has another shape, or was trained with a loss of values.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public void Predict(ReadOnlySpan<float> images, Span<int> classes) => Classify(images, classes);

    /// <summary>The class of each image of bytes, without allocating; see <see cref="Predict(ReadOnlySpan{float}, Span{int})"/>.</summary>
    /// <inheritdoc cref="Predict(ReadOnlySpan{float}, Span{int})"/>
    public void Predict(ReadOnlySpan<byte> images, Span<int> classes) => Classify(images, classes);

    /// <summary>
    /// The probability of every class for each image: the softmax of the scores, or the output itself where the network
    /// ends in a softmax. Of a model that was trained with <see cref="Loss.BceWithLogits"/> it is the sigmoid of each value.
    /// An image with a NaN among its scores has NaN for all probabilities.
    /// </summary>
    /// <param name="images">One image, C×H×W; or as many as <paramref name="count"/> says, N×C×H×W.</param>
    /// <param name="count">Number N of images.</param>
    /// <returns>A new array with the probabilities, N×<see cref="OutputLength"/>.</returns>
    /// <exception cref="ArgumentException">The span does not hold that many images.</exception>
    /// <exception cref="InvalidOperationException">
    /// The output is not one score a class: it has another shape, or was trained with a loss of values.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public float[] PredictProbabilities(ReadOnlySpan<float> images, int count = 1)
    {
        float[] probabilities = NewOutputs(images.Length, count);
        PredictProbabilities(images, probabilities);
        return probabilities;
    }

    /// <summary>
    /// The probability of every class for each image of bytes, which are divided by 255; see
    /// <see cref="PredictProbabilities(ReadOnlySpan{float}, int)"/>.
    /// </summary>
    /// <inheritdoc cref="PredictProbabilities(ReadOnlySpan{float}, int)"/>
    public float[] PredictProbabilities(ReadOnlySpan<byte> images, int count = 1)
    {
        float[] probabilities = NewOutputs(images.Length, count);
        PredictProbabilities(images, probabilities);
        return probabilities;
    }

    /// <summary>
    /// The probability of every class for each image, without allocating; see
    /// <see cref="PredictProbabilities(ReadOnlySpan{float}, int)"/>.
    /// </summary>
    /// <param name="images">Any number of images, N×C×H×W.</param>
    /// <param name="probabilities">Receives the probabilities; its length must be N×<see cref="OutputLength"/>.</param>
    /// <exception cref="ArgumentException">A span's length does not fit.</exception>
    /// <exception cref="InvalidOperationException">
    /// The output is not one score a class: it has another shape, or was trained with a loss of values.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public void PredictProbabilities(ReadOnlySpan<float> images, Span<float> probabilities)
    {
        if (TrainedWith != MnLossKind.BceWithLogits)
        {
            CheckClassifies("PredictProbabilities gives", "Forward gives the values");
        }

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
        if (TrainedWith != MnLossKind.BceWithLogits)
        {
            CheckClassifies("PredictProbabilities gives", "Forward gives the values");
        }

        Run(images, probabilities);
        ToProbabilities(probabilities);
    }

    private float[] NewOutputs(int values, int count)
    {
        CheckImages(values, count);
        long length = (long)count * OutputLength;
        return length <= Array.MaxLength
            ? new float[length]
            : throw new ArgumentException(
                $"{count} images give {length} values ({OutputLength} each), more than the {Array.MaxLength} of an array: take them in parts.",
                nameof(count));
    }

    /// <summary>Throws unless a span has the values of so many images.</summary>
    private void CheckImages(int values, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        if (values == (long)count * _imageLength)
        {
            return;
        }

        (int whole, int rest) = Math.DivRem(values, _imageLength);
        string hint = rest == 0 && whole > 1 ? $" For a batch of {whole} images pass count: {whole}." : "";
        string images = count == 1 ? "one image" : $"{count} images";
        throw new ArgumentException(
            $"The span has {values} values; {images} of shape {InputShape} {(count == 1 ? "has" : "have")} {(long)count * _imageLength}.{hint}",
            nameof(images));
    }

    /// <summary>Throws unless the output is one score for each of several classes.</summary>
    private void CheckClassifies(string what, string instead)
    {
        string? reason = TrainedWith is { } kind ? $"the model was trained with Loss.{kind}, whose outputs are values"
            : OutputShape.Count > 1 ? $"the network's output is {NativeShape.ToText(OutputShape)}"
            : OutputLength == 1 ? "the network gives one value an image"
            : null;
        if (reason is not null)
        {
            throw new InvalidOperationException($"{what} one class of several for an image, and {reason}: {instead}.");
        }
    }

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

        fixed (T* from = images)
        {
            Forward(NativeBatch.Of(from, count, _imageLength, labels: null), outputs);
        }
    }

    /// <summary>Runs the network on a batch as the native library takes it.</summary>
    private unsafe void Forward(MnBatch batch, Span<float> outputs)
    {
        using NativeHandle.Lease lease = _handle.Use();
        if (batch.Count == 0)
        {
            return;
        }

        fixed (float* to = outputs)
        {
            var output = new MnOutput
            {
                StructSize = (uint)sizeof(MnOutput),
                Index = 0,
                Values = to,
                ValueCount = (ulong)outputs.Length,
            };
            MnStatus status = NativeMethods.ModelForward(lease.Value, &batch, &output, 1);
            Native.Check(Native.MayTryAgain(status) ? NativeMethods.ModelForward(lease.Value, &batch, &output, 1) : status);
        }
    }

    /// <summary>The results of all rows of the summary for one image; see <see cref="WithEveryLayer"/>.</summary>
    internal unsafe void ForwardEveryLayer(ReadOnlySpan<float> image, float[][] rows)
    {
        MemoryHandle[] pins = [.. rows.Select(row => row.AsMemory().Pin())];
        try
        {
            MnOutput[] outputs = [.. rows.Select((row, i) => new MnOutput
            {
                StructSize = (uint)sizeof(MnOutput),
                Index = i,
                Values = (float*)pins[i].Pointer,
                ValueCount = (ulong)row.Length,
            })];
            using NativeHandle.Lease lease = _handle.Use();
            fixed (float* pixels = image)
            fixed (MnOutput* to = outputs)
            {
                MnBatch batch = NativeBatch.Of(pixels, 1, _imageLength, labels: null);
                Native.Check(NativeMethods.ModelForward(lease.Value, &batch, to, outputs.Length));
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

    private void Classify<T>(ReadOnlySpan<T> images, Span<int> classes)
        where T : unmanaged
    {
        int count = NativeBatch.CountImages(images.Length, InputShape, nameof(images));
        if (classes.Length != count)
        {
            throw new ArgumentException(
                $"There are {count} images, the span for their classes has {classes.Length} places.", nameof(classes));
        }

        CheckClassifies(
            "Predict gives",
            TrainedWith == MnLossKind.BceWithLogits
                ? "PredictProbabilities gives the probability of each label"
                : "Forward gives the values");

        // Any number of images: their scores are taken in parts.
        int part = Math.Min(count, Math.Max(1, EvaluationValues / OutputLength));
        int length = part * OutputLength;
        float[]? rented = length <= StackScores ? null : ArrayPool<float>.Shared.Rent(length);
        try
        {
            Span<float> scores = rented is null ? stackalloc float[StackScores] : rented;
            for (int first = 0; first < count; first += part)
            {
                Span<int> some = classes.Slice(first, Math.Min(part, count - first));
                Run(images.Slice(first * _imageLength, some.Length * _imageLength), scores[..(some.Length * OutputLength)]);
                for (int i = 0; i < some.Length; i++)
                {
                    some[i] = IndexOfLargest(scores.Slice(i * OutputLength, OutputLength));
                }
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

    /// <summary>
    /// As the native library counts hits: the first of equals; -1 where there is a NaN, which leaves no largest.
    /// </summary>
    internal static int IndexOfLargest(ReadOnlySpan<float> scores)
    {
        int best = 0;
        for (int i = 0; i < scores.Length; i++)
        {
            if (float.IsNaN(scores[i]))
            {
                return -1;
            }

            if (scores[i] > scores[best])
            {
                best = i;
            }
        }

        return best;
    }

    private void ToProbabilities(Span<float> scores)
    {
        if (TrainedWith == MnLossKind.BceWithLogits)
        {
            foreach (ref float score in scores)
            {
                score = (float)(1 / (1 + Math.Exp(-(double)score)));
            }

            return;
        }

        for (int start = 0; start < scores.Length; start += OutputLength)
        {
            Span<float> row = scores.Slice(start, OutputLength);
            int best = IndexOfLargest(row);
            if (best < 0)
            {
                row.Fill(float.NaN);
            }
            else if (!Network.EndsInSoftmax)
            {
                Softmax(row, row[best]);
            }
        }
    }

    private static void Softmax(Span<float> row, float largest)
    {
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
