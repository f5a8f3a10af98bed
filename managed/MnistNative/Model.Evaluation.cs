using MnistNative.Interop;

namespace MnistNative;

public sealed partial class Model
{
    // Enough for the threads to be busy, little enough for a cancellation to be noticed soon.
    private const int EvaluationBatch = 500;

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
        var order = new BatchOrder(data.Count, Math.Min(EvaluationBatch, data.Count), seed: 0, shuffle: false);
        using BatchSource batches = BatchSource.Open(data, _handle.Device, order);
        return Evaluate(batches, cancellationToken);
    }

    /// <summary>Evaluates one pass over a source of batches.</summary>
    internal unsafe EvaluationResult Evaluate(BatchSource batches, CancellationToken cancellationToken)
    {
        using NativeHandle.Lease lease = _handle.Use();
        MnLossDesc loss = NativeTraining.Describe(Loss.CrossEntropy(), _lossNode);
        double numerator = 0;
        double denominator = 0;
        long correct = 0;
        int count = 0;
        batches.Start();
        while (batches.MoveNext(out MnBatch batch))
        {
            cancellationToken.ThrowIfCancellationRequested();
            var metrics = new MnMetrics { StructSize = (uint)sizeof(MnMetrics) };
            Native.Check(NativeMethods.ModelEvaluate(lease.Value, &batch, &loss, &metrics));
            numerator += metrics.LossNumerator;
            denominator += metrics.LossDenominator;
            correct += metrics.Correct;
            count += metrics.Count;
        }

        return new EvaluationResult(count, (int)correct, numerator / denominator);
    }
}
