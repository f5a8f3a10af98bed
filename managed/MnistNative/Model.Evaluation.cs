using MnistNative.Interop;

namespace MnistNative;

public sealed partial class Model
{
    // Enough for the threads to be busy, little enough for a cancellation to be noticed soon.
    private const int EvaluationBatch = 500;

    // Values in a batch of images or outputs, 64 MB of floats: large images come in smaller batches.
    private const int EvaluationValues = 1 << 24;

    /// <summary>
    /// Compares the model's predictions with the labels of a data set. PyTorch: a loop in <c>torch.no_grad()</c>; Keras:
    /// <c>evaluate</c>.
    /// </summary>
    /// <param name="data">Images and labels; the images are not normalised but by the network itself.</param>
    /// <param name="cancellationToken">Ends the work between two batches.</param>
    /// <returns>Accuracy and mean cross-entropy.</returns>
    /// <exception cref="ArgumentException">The data set's images or classes do not fit the model.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    /// <exception cref="OperationCanceledException">The work was cancelled.</exception>
    public EvaluationResult Evaluate(IImageDataset data, CancellationToken cancellationToken = default)
    {
        CheckData(data);
        BatchOrder order = EvaluationOrder(data);
        using BatchSource batches = BatchSource.Open(data, _handle.Device, order);
        return Evaluate(batches, cancellationToken);
    }

    /// <summary>As <see cref="Evaluate(IImageDataset, CancellationToken)"/>, with another loss.</summary>
    /// <param name="data">Images and labels, or images and targets for a loss of values; the images are not normalised but by the network itself.</param>
    /// <param name="loss">What is measured, taken of the network's output.</param>
    /// <param name="cancellationToken">Ends the work between two batches.</param>
    /// <returns>Accuracy and loss; ignored labels are never right, and losses of values count none.</returns>
    /// <exception cref="ArgumentException">The data or the loss do not fit the model.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    /// <exception cref="OperationCanceledException">The work was cancelled.</exception>
    public EvaluationResult Evaluate(IImageDataset data, Loss loss, CancellationToken cancellationToken = default)
    {
        CheckData(data);
        ArgumentNullException.ThrowIfNull(loss);
        CheckTargets(data, loss);
        BatchOrder order = EvaluationOrder(data);
        using BatchSource batches = BatchSource.Open(data, _handle.Device, order, loss);
        return Evaluate(batches, cancellationToken, loss);
    }

    /// <summary>Counts what the images of a data set are taken for, class by class.</summary>
    /// <param name="data">Images and labels; the images are not normalised but by the network itself.</param>
    /// <param name="cancellationToken">Ends the work between two batches.</param>
    /// <returns>Top-1 and top-k, the confusion matrix, precision and recall of each class.</returns>
    /// <exception cref="ArgumentException">The data set's images or classes do not fit the model.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    /// <exception cref="OperationCanceledException">The work was cancelled.</exception>
    public EvaluationReport EvaluateReport(IImageDataset data, CancellationToken cancellationToken = default)
    {
        CheckData(data);
        var report = new EvaluationReport(OutputLength);
        BatchOrder order = EvaluationOrder(data);
        float[] pixels = new float[order.BatchSize * _imageLength];
        int[] labels = new int[order.BatchSize];
        float[] scores = new float[order.BatchSize * OutputLength];
        for (int batch = 0; batch < order.BatchCount; batch++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            ReadOnlySpan<int> indices = order.GetBatch(batch);
            Span<float> images = pixels.AsSpan(0, indices.Length * _imageLength);
            data.Read(indices, images, labels.AsSpan(0, indices.Length));
            Forward(images, scores.AsSpan(0, indices.Length * OutputLength));
            for (int i = 0; i < indices.Length; i++)
            {
                report.Add(scores.AsSpan(i * OutputLength, OutputLength), labels[i]);
            }
        }

        return report;
    }

    /// <summary>Compares the outputs of images with values.</summary>
    /// <param name="images">Any number of images, N×C×H×W.</param>
    /// <param name="targets">The values, N×<see cref="OutputLength"/>.</param>
    /// <param name="loss">What is measured, such as <see cref="Loss.Mse"/>.</param>
    /// <returns>The loss.</returns>
    /// <exception cref="ArgumentException">A length does not fit, or the loss is one of labels.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    public unsafe double Evaluate(ReadOnlySpan<float> images, ReadOnlySpan<float> targets, Loss loss)
    {
        ArgumentNullException.ThrowIfNull(loss);
        int count = NativeBatch.CountImages(images.Length, InputShape, nameof(images));
        using NativeHandle.Lease lease = _handle.Use();
        fixed (float* pixels = images)
        fixed (float* values = targets)
        {
            MnBatch batch = NativeBatch.Of(pixels, count, _imageLength, labels: null);
            batch.Targets = values;
            batch.TargetCount = (ulong)targets.Length;
            MnLossDesc desc = NativeTraining.Describe(loss, OutputNode, classWeights: null);
            desc.ClassWeightCount = 0;
            var metrics = new MnMetrics { StructSize = (uint)sizeof(MnMetrics) };
            Native.Check(NativeMethods.ModelEvaluate(lease.Value, &batch, &desc, &metrics));
            return metrics.Loss;
        }
    }

    private BatchOrder EvaluationOrder(IImageDataset data)
    {
        int batch = Math.Clamp(EvaluationValues / Math.Max(_imageLength, OutputLength), 1, EvaluationBatch);
        return new BatchOrder(data.Count, Math.Min(batch, data.Count), seed: 0, shuffle: false);
    }

    /// <summary>Evaluates one pass over a source of batches.</summary>
    internal unsafe EvaluationResult Evaluate(BatchSource batches, CancellationToken cancellationToken, Loss? loss = null)
    {
        using NativeHandle.Lease lease = _handle.Use();
        using var classWeights = ((ReadOnlyMemory<float>)loss?.ClassWeights).Pin();
        MnLossDesc desc = NativeTraining.Describe(
            loss ?? Loss.CrossEntropy(), loss is null ? _lossNode : OutputNode, (float*)classWeights.Pointer);
        double numerator = 0;
        double denominator = 0;
        long correct = 0;
        int count = 0;
        batches.Start();
        while (batches.MoveNext(out MnBatch batch))
        {
            cancellationToken.ThrowIfCancellationRequested();
            var metrics = new MnMetrics { StructSize = (uint)sizeof(MnMetrics) };
            Native.Check(NativeMethods.ModelEvaluate(lease.Value, &batch, &desc, &metrics));
            numerator += metrics.LossNumerator;
            denominator += metrics.LossDenominator;
            correct += metrics.Correct;
            count += metrics.Count;
        }

        return new EvaluationResult(count, (int)correct, loss?.Reduction == Reduction.Sum ? numerator : numerator / denominator);
    }
}
