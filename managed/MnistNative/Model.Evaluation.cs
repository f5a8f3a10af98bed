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
    /// <param name="data">
    /// Images and labels, or images and targets, with which the loss is <see cref="Loss.Mse"/>; the images are not normalised
    /// but by the network itself.
    /// </param>
    /// <param name="cancellationToken">Ends the work between two batches, or while it waits for data.</param>
    /// <returns>Accuracy and mean cross-entropy, or the mean squared error.</returns>
    /// <exception cref="ArgumentException">The data set's images, labels or targets do not fit the model.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    /// <exception cref="OperationCanceledException">The work was cancelled.</exception>
    public EvaluationResult Evaluate(IImageDataset data, CancellationToken cancellationToken = default)
    {
        CheckData(data);
        Loss loss = Loss.For(data);
        CheckLoss(data, loss);
        return Evaluate(data, loss, loss is LabelLoss ? _lossNode : OutputNode, cancellationToken, out _);
    }

    /// <summary>As <see cref="Evaluate(IImageDataset, CancellationToken)"/>, with another loss.</summary>
    /// <param name="data">Images and labels, or images and targets for a loss of values; the images are not normalised but by the network itself.</param>
    /// <param name="loss">What is measured, taken of the network's output.</param>
    /// <param name="cancellationToken">Ends the work between two batches, or while it waits for data.</param>
    /// <returns>Accuracy and loss; ignored labels count in neither, and losses of values have no accuracy.</returns>
    /// <exception cref="ArgumentException">The data or the loss do not fit the model.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    /// <exception cref="OperationCanceledException">The work was cancelled.</exception>
    public EvaluationResult Evaluate(IImageDataset data, Loss loss, CancellationToken cancellationToken = default)
    {
        CheckData(data);
        ArgumentNullException.ThrowIfNull(loss);
        CheckLoss(data, loss);
        return Evaluate(data, loss, cancellationToken, out _);
    }

    /// <summary>Counts what the images of a data set are taken for, class by class.</summary>
    /// <param name="data">Images and labels; the images are not normalised but by the network itself.</param>
    /// <param name="cancellationToken">Ends the work between two batches, or while it waits for data.</param>
    /// <returns>Top-1 and top-k, the confusion matrix, precision, recall and F1 of each class.</returns>
    /// <exception cref="ArgumentException">The data set's images or labels do not fit the model, or it has no labels.</exception>
    /// <exception cref="InvalidOperationException">The network does not give one score a class.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    /// <exception cref="OperationCanceledException">The work was cancelled.</exception>
    public EvaluationReport EvaluateReport(IImageDataset data, CancellationToken cancellationToken = default) =>
        EvaluateReport(data, Loss.CrossEntropy(), cancellationToken);

    /// <summary>
    /// As <see cref="EvaluateReport(IImageDataset, CancellationToken)"/>, without the images whose label a loss ignores.
    /// </summary>
    /// <param name="data">Images and labels; the images are not normalised but by the network itself.</param>
    /// <param name="loss">A loss of labels, such as <c>Loss.CrossEntropy(ignoreIndex: -100)</c>.</param>
    /// <param name="cancellationToken">Ends the work between two batches, or while it waits for data.</param>
    /// <inheritdoc cref="EvaluateReport(IImageDataset, CancellationToken)"/>
    public unsafe EvaluationReport EvaluateReport(IImageDataset data, Loss loss, CancellationToken cancellationToken = default)
    {
        CheckData(data);
        ArgumentNullException.ThrowIfNull(loss);
        if (loss is not LabelLoss { IgnoreIndex: var ignored })
        {
            throw new ArgumentException("A report counts classes, so it takes a loss of labels.", nameof(loss));
        }

        CheckLoss(data, loss);
        CheckClassifies("A report counts", "Evaluate measures the loss of other outputs");
        var report = new EvaluationReport(OutputLength);
        BatchOrder order = EvaluationOrder(data);
        int[] labels = new int[order.BatchSize];
        float[] scores = new float[order.BatchSize * OutputLength];
        int seen = 0;
        using BatchSource batches = BatchSource.Open(data, _handle.Device, order);
        batches.Start();
        while (batches.MoveNext(out MnBatch batch, cancellationToken))
        {
            batches.CopyLabels(labels);
            batch.Labels = null;
            Forward(batch, scores.AsSpan(0, batch.Count * OutputLength));
            for (int i = 0; i < batch.Count; i++)
            {
                if (labels[i] == ignored)
                {
                    continue;
                }

                if ((uint)labels[i] >= (uint)OutputLength)
                {
                    throw new ArgumentException(
                        $"Labels must be in 0 to {OutputLength - 1}; label {seen + i} is {labels[i]}.", nameof(data));
                }

                report.Add(scores.AsSpan(i * OutputLength, OutputLength), labels[i]);
            }

            seen += batch.Count;
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

    /// <summary>The loss of a data set that fits, and whether it is finite, but for a mean over nothing.</summary>
    internal EvaluationResult Evaluate(IImageDataset data, Loss loss, CancellationToken cancellationToken, out bool finite) =>
        Evaluate(data, loss, OutputNode, cancellationToken, out finite);

    private unsafe EvaluationResult Evaluate(
        IImageDataset data, Loss loss, int node, CancellationToken cancellationToken, out bool finite)
    {
        using BatchSource batches = BatchSource.Open(data, _handle.Device, EvaluationOrder(data), loss);
        using NativeHandle.Lease lease = _handle.Use();
        using var classWeights = ((ReadOnlyMemory<float>)loss.ClassWeights).Pin();
        MnLossDesc desc = NativeTraining.Describe(loss, node, (float*)classWeights.Pointer);
        double numerator = 0;
        double denominator = 0;
        long correct = 0;
        long labels = 0;
        int count = 0;
        batches.Start();
        while (batches.MoveNext(out MnBatch batch, cancellationToken))
        {
            var metrics = new MnMetrics { StructSize = (uint)sizeof(MnMetrics) };
            MnStatus status = NativeMethods.ModelEvaluate(lease.Value, &batch, &desc, &metrics);
            Native.Check(Native.MayTryAgain(status) ? NativeMethods.ModelEvaluate(lease.Value, &batch, &desc, &metrics) : status);
            numerator += metrics.LossNumerator;
            denominator += metrics.LossDenominator;
            correct += metrics.Correct;
            labels += metrics.Labels;
            count += metrics.Count;
        }

        finite = double.IsFinite(numerator);
        double value = loss.Reduction == Reduction.Sum ? numerator : numerator / denominator;
        return new EvaluationResult(count, (int)correct, value, (int)labels);
    }
}
