using MnistNative.Interop;

namespace MnistNative;

public sealed partial class Model
{
    private unsafe delegate MnStatus ProfileCall(
        ulong handle, MnBatch* batch, MnProfileEntry* entries, int entryCount, int* countOut);

    /// <summary>
    /// Measures where the time goes, operation by operation, on random images. PyTorch: <c>torch.profiler.profile</c>.
    /// </summary>
    /// <remarks>
    /// A training step is measured on a twin of the model with parameters of its own and Adam as its optimizer, so the
    /// model stays as it is, but memory is needed for both. The device should have nothing else to do meanwhile.
    /// </remarks>
    /// <param name="batchSize">Images in a batch.</param>
    /// <param name="training">Whether to measure a training step, backward pass and update included; else inference.</param>
    /// <param name="repetitions">How many batches are measured after the first; each time is the median over them.</param>
    /// <param name="cancellationToken">Ends the measurement between two batches.</param>
    /// <returns>The table as data; its <see cref="ModelProfile.ToString"/> gives it as text.</returns>
    /// <exception cref="ArgumentException">A number is below 1, or above what the library takes.</exception>
    /// <exception cref="ObjectDisposedException">The model, or for training its device, is disposed.</exception>
    /// <exception cref="OperationCanceledException">The measurement was cancelled.</exception>
    /// <exception cref="MnistNativeOutOfMemoryException">The device has too little memory for the batch size.</exception>
    public unsafe ModelProfile Profile(
        int batchSize = 64, bool training = false, int repetitions = 5, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(batchSize, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(repetitions, 1);
        DevicePeak peak = Device.Measure(_handle.Device);
        ProfileEntry[] entries;
        if (training)
        {
            using Model twin = Create(Network, Seed, Device, _options with { InferenceBatch = 1 });
            bool classifier = OutputShape.Count == 1 && !Network.EndsInSoftmax;
            using Trainer trainer = twin.CreateTrainer(new Adam(), batchSize, classifier ? Loss.CrossEntropy() : Loss.Mse());
            int[] labels = classifier ? new int[batchSize] : [];
            float[] targets = classifier ? [] : new float[checked(batchSize * OutputLength)];
            entries = Measure(
                trainer.Handle, NativeMethods.TrainerProfile, batchSize, labels, targets, repetitions, cancellationToken);
        }
        else
        {
            entries = Measure(_handle, NativeMethods.ModelProfile, batchSize, [], [], repetitions, cancellationToken);
        }

        return new ModelProfile(entries, batchSize, training, Device.Describe(_handle.Device), peak);
    }

    private unsafe ProfileEntry[] Measure(
        NativeHandle handle,
        ProfileCall call,
        int batchSize,
        int[] labels,
        float[] targets,
        int repetitions,
        CancellationToken cancellationToken)
    {
        // Random bits, because some kernels skip zeros.
        byte[] images = new byte[checked(batchSize * _imageLength)];
        new Random(1).NextBytes(images);
        using NativeHandle.Lease lease = handle.Use();
        int count;
        Native.Check(call(lease.Value, null, null, 0, &count));
        var entries = new MnProfileEntry[count];
        double[][] seconds = [.. Enumerable.Range(0, count).Select(_ => new double[repetitions])];
        fixed (byte* pixels = images)
        fixed (int* classes = labels)
        fixed (float* values = targets)
        fixed (MnProfileEntry* results = entries)
        {
            MnBatch batch = NativeBatch.Of(pixels, batchSize, _imageLength, classes);
            batch.Targets = values;
            batch.TargetCount = (ulong)targets.Length;
            for (int i = 0; i < count; i++)
            {
                results[i].StructSize = (uint)sizeof(MnProfileEntry);
            }

            for (int repetition = -1; repetition < repetitions; repetition++)
            {
                cancellationToken.ThrowIfCancellationRequested();
                Native.Check(call(lease.Value, &batch, results, count, &count));
                for (int i = 0; i < count && repetition >= 0; i++)
                {
                    seconds[i][repetition] = results[i].Seconds;
                }
            }

            var made = new ProfileEntry[count];
            for (int i = 0; i < count; i++)
            {
                Array.Sort(seconds[i]);
                made[i] = new ProfileEntry(
                    Utf8.FromNative(results[i].Name),
                    Utf8.FromNative(results[i].Op),
                    Utf8.FromNative(results[i].Kernel),
                    (ProfileDirection)results[i].Direction,
                    seconds[i][repetitions / 2],
                    results[i].Flops,
                    results[i].Bytes);
            }

            return made;
        }
    }
}
