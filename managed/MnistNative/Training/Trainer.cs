using MnistNative.Interop;

namespace MnistNative;

/// <summary>
/// Training by hand, one batch at a time; <see cref="Model.FitAsync"/> does the same loop. Made by
/// <see cref="Model.CreateTrainer(Optimizer, int, Loss, bool)"/>; a model has one at a time.
/// </summary>
/// <remarks>
/// To be used by one thread at a time. A step allocates nothing. The model can be read, evaluated and used for
/// prediction between steps and always has the current parameters.
/// </remarks>
public sealed unsafe class Trainer : IDisposable
{
    /// <summary>Most images that a step takes.</summary>
    public const int MaxBatchSize = NativeConstants.MaxBatch;

    private readonly TrainerHandle _handle;
    private readonly Model _model;
    private readonly Optimizer _optimizer;
    private readonly bool _inputGradient;
    private readonly Loss _loss;
    private readonly Dictionary<ImageDataset, DatasetHandle> _datasets = new(ReferenceEqualityComparer.Instance);
    private float[] _pixels = [];
    private int[] _labels = [];
    private float[] _targets = [];
    private float _learningRate;
    private int _accumulated;
    private int _lastCount;

    internal Trainer(Model model, Optimizer optimizer, int batchSize, TrainerOptions options)
    {
        options.Validate();
        _model = model;
        _optimizer = optimizer;
        _inputGradient = options.InputGradient;
        _loss = options.Loss;
        _learningRate = optimizer.LearningRate;
        BatchSize = batchSize;
        MnParameterOptions[] parameters = NativeTraining.Describe(options.ParameterGroups, model.Parameters);
        MnOptimizerDesc optimizerDesc = NativeTraining.Describe(optimizer);
        ulong value;
        using NativeHandle.Lease lease = model.Handle.Use();
        fixed (float* classWeights = options.Loss.ClassWeights)
        fixed (MnParameterOptions* parameterOptions = parameters)
        fixed (MnLossDesc* losses = WithHeads(NativeTraining.Describe(options.Loss, model.OutputNode, classWeights), model))
        {
            var desc = new MnTrainerDesc
            {
                StructSize = (uint)sizeof(MnTrainerDesc),
                MaxBatch = batchSize,
                Losses = losses,
                LossCount = options.Loss is OutputGradientLoss ? 1 : 1 + model.Heads.Count,
                Flags = _inputGradient ? (uint)MnTrainerFlag.InputGradient : 0,
                Optimizer = &optimizerDesc,
                Options = parameterOptions,
                OptionCount = parameters.Length,
                ClipNorm = options.ClipNorm ?? 0,
                ClipValue = options.ClipValue ?? 0,
            };
            MnStatus status = NativeMethods.TrainerCreate(lease.Value, &desc, &value);
            Native.Check(Native.MayTryAgain(status) ? NativeMethods.TrainerCreate(lease.Value, &desc, &value) : status);
        }

        _handle = new TrainerHandle(value, model.Handle.Device);
        MemoryPlan plan = MemoryPlan;
        _handle.AddPressure(
            plan.GradientBytes + plan.OptimizerBytes + plan.PackedBytes + plan.ArenaBytes + plan.WorkspaceBytes);
        if (_loss is OutputGradientLoss)
        {
            WarnOfLayersOfTraining(options.ParameterGroups);
        }
    }

    /// <summary>Largest batch that a step takes.</summary>
    public int BatchSize { get; }

    /// <summary>Learning rate of the next updates. PyTorch: <c>optimizer.param_groups[0]["lr"]</c>.</summary>
    /// <exception cref="ArgumentException">The value is not finite, or negative.</exception>
    /// <exception cref="ObjectDisposedException">The trainer is disposed.</exception>
    public float LearningRate
    {
        get => _learningRate;
        set
        {
            using NativeHandle.Lease lease = _handle.Use();
            Native.Check(NativeMethods.TrainerSetLearningRate(lease.Value, value));
            _learningRate = value;
        }
    }

    /// <summary>What training and the model hold.</summary>
    /// <exception cref="ObjectDisposedException">The trainer is disposed.</exception>
    public MemoryPlan MemoryPlan
    {
        get
        {
            var plan = new MnMemoryPlan { StructSize = (uint)sizeof(MnMemoryPlan) };
            using NativeHandle.Lease lease = _handle.Use();
            Native.Check(NativeMethods.TrainerMemoryPlan(lease.Value, &plan));
            return MemoryPlan.From(plan);
        }
    }

    /// <summary>
    /// One training step: clear the gradients, forward, backward, update. PyTorch: <c>zero_grad()</c>, <c>backward()</c>,
    /// <c>step()</c>; Keras: <c>train_on_batch</c>.
    /// </summary>
    /// <param name="images">At most <see cref="BatchSize"/> images, N×C×H×W.</param>
    /// <param name="labels">Their N labels.</param>
    /// <returns>The loss and the hits before the update.</returns>
    /// <exception cref="ArgumentException">The batch is empty or too large, a length does not fit, or a label is no class.</exception>
    /// <exception cref="ObjectDisposedException">The trainer is disposed.</exception>
    public StepResult Step(ReadOnlySpan<float> images, ReadOnlySpan<int> labels) => Run(images, labels, accumulate: false);

    /// <summary>
    /// One training step on bytes, which are divided by 255; see <see cref="Step(ReadOnlySpan{float}, ReadOnlySpan{int})"/>.
    /// </summary>
    /// <inheritdoc cref="Step(ReadOnlySpan{float}, ReadOnlySpan{int})"/>
    public StepResult Step(ReadOnlySpan<byte> images, ReadOnlySpan<int> labels) => Run(images, labels, accumulate: false);

    /// <summary>
    /// One training step on images of a data set; see <see cref="Step(ReadOnlySpan{float}, ReadOnlySpan{int})"/>. An
    /// <see cref="ImageDataset"/> is lent to the device at its first step and kept until the trainer is disposed.
    /// </summary>
    /// <param name="data">Images and labels, or images and targets for a loss of values.</param>
    /// <param name="indices">Which of them, at most <see cref="BatchSize"/>; one may occur twice.</param>
    /// <returns>The loss and the hits before the update.</returns>
    /// <exception cref="ArgumentException">
    /// The data set does not fit the model, or the indices are none, too many or out of range.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The trainer is disposed.</exception>
    public StepResult Step(IImageDataset data, ReadOnlySpan<int> indices) => Run(data, indices, accumulate: false);

    /// <summary>
    /// One training step with values to compare the output with, for losses such as <see cref="Loss.Mse"/>; or, with
    /// <see cref="Loss.OutputGradient"/>, with the gradient of the caller's own loss.
    /// </summary>
    /// <param name="images">At most <see cref="BatchSize"/> images, N×C×H×W.</param>
    /// <param name="targets">
    /// The values, or the loss's gradient by the output: N×<see cref="Model.OutputLength"/>, as the output N×C×H×W or N×F.
    /// </param>
    /// <returns>The loss before the update, or the sum of output × gradient; no hits.</returns>
    /// <exception cref="ArgumentException">
    /// The batch is empty or too large, a length does not fit, or the trainer has another loss.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The trainer is disposed.</exception>
    public StepResult Step(ReadOnlySpan<float> images, ReadOnlySpan<float> targets) =>
        Run(images, targets, accumulate: false);

    /// <summary>
    /// One training step on bytes, which are divided by 255, with targets; see
    /// <see cref="Step(ReadOnlySpan{float}, ReadOnlySpan{float})"/>.
    /// </summary>
    /// <inheritdoc cref="Step(ReadOnlySpan{float}, ReadOnlySpan{float})"/>
    public StepResult Step(ReadOnlySpan<byte> images, ReadOnlySpan<float> targets) =>
        Run(images, targets, accumulate: false);

    /// <summary>
    /// Forward and backward of one batch, added to the gradients. <see cref="Apply"/> then divides once by the number of
    /// all images, so that several small batches equal one large one, also when they are of different sizes. PyTorch:
    /// <c>backward()</c> without <c>zero_grad()</c>.
    /// </summary>
    /// <param name="images">At most <see cref="BatchSize"/> images, N×C×H×W.</param>
    /// <param name="labels">Their N labels.</param>
    /// <returns>The loss and the hits of this batch.</returns>
    /// <exception cref="ArgumentException">The batch is empty or too large, a length does not fit, or a label is no class.</exception>
    /// <exception cref="ObjectDisposedException">The trainer is disposed.</exception>
    public StepResult Accumulate(ReadOnlySpan<float> images, ReadOnlySpan<int> labels) => Run(images, labels, accumulate: true);

    /// <summary>
    /// Accumulates a batch of bytes, which are divided by 255; see
    /// <see cref="Accumulate(ReadOnlySpan{float}, ReadOnlySpan{int})"/>.
    /// </summary>
    /// <inheritdoc cref="Accumulate(ReadOnlySpan{float}, ReadOnlySpan{int})"/>
    public StepResult Accumulate(ReadOnlySpan<byte> images, ReadOnlySpan<int> labels) => Run(images, labels, accumulate: true);

    /// <summary>Accumulates images of a data set; see <see cref="Accumulate(ReadOnlySpan{float}, ReadOnlySpan{int})"/>.</summary>
    /// <inheritdoc cref="Step(IImageDataset, ReadOnlySpan{int})"/>
    /// <returns>The loss and the hits of this batch.</returns>
    public StepResult Accumulate(IImageDataset data, ReadOnlySpan<int> indices) => Run(data, indices, accumulate: true);

    /// <summary>
    /// Forward and backward of one batch with values to compare the output with, or with the gradient of the caller's own
    /// loss; added to the gradients. PyTorch: <c>loss(output, target).backward()</c>, or
    /// <c>output.backward(gradient)</c>.
    /// </summary>
    /// <inheritdoc cref="Step(ReadOnlySpan{float}, ReadOnlySpan{float})"/>
    /// <returns>The loss, or the sum of output × gradient; no hits.</returns>
    public StepResult Accumulate(ReadOnlySpan<float> images, ReadOnlySpan<float> targets) =>
        Run(images, targets, accumulate: true);

    /// <summary>Accumulates a batch of bytes, which are divided by 255, with targets.</summary>
    /// <inheritdoc cref="Accumulate(ReadOnlySpan{float}, ReadOnlySpan{float})"/>
    public StepResult Accumulate(ReadOnlySpan<byte> images, ReadOnlySpan<float> targets) =>
        Run(images, targets, accumulate: true);

    /// <summary>
    /// Updates the parameters with what was accumulated. The next <see cref="Accumulate(ReadOnlySpan{float}, ReadOnlySpan{int})"/>
    /// starts anew; until then the gradients can be read. PyTorch: <c>optimizer.step()</c>.
    /// </summary>
    /// <exception cref="InvalidOperationException">Nothing was accumulated.</exception>
    /// <exception cref="ObjectDisposedException">The trainer is disposed.</exception>
    public void Apply()
    {
        using NativeHandle.Lease lease = _handle.Use();
        if (_accumulated == 0)
        {
            throw new InvalidOperationException("Apply needs gradients: call Accumulate before.");
        }

        Native.Check(NativeMethods.TrainerApply(lease.Value));
        _accumulated = 0;
        NoteUpdate();
    }

    /// <summary>Forgets what was accumulated. PyTorch: <c>optimizer.zero_grad()</c>.</summary>
    /// <exception cref="ObjectDisposedException">The trainer is disposed.</exception>
    public void Clear()
    {
        using NativeHandle.Lease lease = _handle.Use();
        Native.Check(NativeMethods.TrainerClear(lease.Value));
        _accumulated = 0;
    }

    /// <summary>
    /// Copies the gradient of the last batch's loss by its images, after normalisation. PyTorch: <c>images.grad</c>.
    /// </summary>
    /// <param name="values">Receives it, N×C×H×W, for the N images of the last batch.</param>
    /// <exception cref="InvalidOperationException">The trainer was made without it, or there was no batch yet.</exception>
    /// <exception cref="ArgumentException">The length does not fit.</exception>
    /// <exception cref="ObjectDisposedException">The trainer is disposed.</exception>
    public void GetInputGradient(Span<float> values)
    {
        using NativeHandle.Lease lease = _handle.Use();
        if (!_inputGradient || _lastCount == 0)
        {
            throw new InvalidOperationException(
                "The input's gradient needs CreateTrainer(…, inputGradient: true) and a batch before.");
        }

        if (values.Length != (long)_lastCount * _model.InputShape.Length)
        {
            throw new ArgumentException(
                $"The last batch had {_lastCount} images of {_model.InputShape.Length} values, the span has {values.Length}.",
                nameof(values));
        }

        fixed (float* pointer = values)
        {
            Native.Check(NativeMethods.TrainerInputGradient(lease.Value, node: 0, pointer, (ulong)values.Length));
        }
    }

    /// <summary>
    /// Writes the model and the state of its training to a file: parameters, the optimizer's moments and counters.
    /// <see cref="LoadCheckpoint(string)"/> goes on from it with the same bits, in another process, too; <see cref="Model.Load"/>
    /// reads the model alone. Gradients that wait for <see cref="Apply"/> are not in it. PyTorch: <c>torch.save</c> of
    /// the state dicts of model and optimizer.
    /// </summary>
    /// <param name="path">The file, by custom ending in <c>.safetensors</c>; replaced as a whole if it exists.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be written.</exception>
    /// <exception cref="ObjectDisposedException">The trainer or the model is disposed.</exception>
    public void SaveCheckpoint(string path) => SaveCheckpoint(path, new FitState(Epochs: 0));

    /// <summary>
    /// Takes over the parameters and the state of the training that <see cref="SaveCheckpoint(string)"/> wrote, the
    /// learning rate included. Gradients that were accumulated are forgotten.
    /// </summary>
    /// <param name="path">The file.</param>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="InvalidDataException">
    /// The file is damaged or no checkpoint, or its network, seed or optimizer is another; nothing was changed.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The trainer or the model is disposed.</exception>
    public void LoadCheckpoint(string path) => LoadCheckpoint(path, out _);

    /// <summary>Ends training; the model keeps its parameters and is free for another trainer.</summary>
    public void Dispose()
    {
        _handle.Dispose();
        foreach (DatasetHandle dataset in _datasets.Values)
        {
            dataset.Dispose();
        }

        _datasets.Clear();
    }

    internal NativeHandle Handle => _handle;

    internal void SaveCheckpoint(string path, FitState state)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        using NativeHandle.Lease lease = _handle.Use();
        var progress = new MnTrainingProgress { StructSize = (uint)sizeof(MnTrainingProgress) };
        Native.Check(NativeMethods.TrainerGetProgress(lease.Value, &progress));
        long[] updates = new long[_model.Parameters.Count];
        fixed (long* pointer = updates)
        {
            Native.Check(NativeMethods.TrainerGetUpdates(lease.Value, pointer, updates.Length));
        }

        Checkpoint.Write(path, _model, _optimizer, progress, updates, state);
    }

    internal void LoadCheckpoint(string path, out FitState state)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        using NativeHandle.Lease lease = _handle.Use();
        MnTrainingProgress progress = Checkpoint.Read(path, _model, _optimizer, out long[] updates, out state);
        Native.Check(NativeMethods.TrainerSetProgress(lease.Value, &progress));
        fixed (long* pointer = updates)
        {
            Native.Check(NativeMethods.TrainerSetUpdates(lease.Value, pointer, updates.Length));
        }

        _learningRate = progress.LearningRate;
        Clear();
    }

    /// <summary>Forward and backward of a batch as the native library takes it.</summary>
    internal MnMetrics Accumulate(in MnBatch batch) => Run(batch, accumulate: true);

    /// <summary>What a caller is told of a step.</summary>
    internal static StepResult ResultOf(in MnMetrics metrics) =>
        new(metrics.Loss, (int)metrics.Correct, metrics.Count, (int)metrics.Labels);

    /// <summary>A step that is not waited for; its loss is in the sums.</summary>
    internal void Begin(in MnBatch batch)
    {
        using NativeHandle.Lease lease = _handle.Use();
        fixed (MnBatch* pointer = &batch)
        {
            Native.Check(NativeMethods.TrainerBeginStep(lease.Value, pointer));
        }

        _accumulated = 0;
        _lastCount = batch.Count;
        NoteUpdate();
    }

    /// <summary>Waits for the steps begun and gives sums over them.</summary>
    internal MnStepSums StepSums(bool restart)
    {
        var sums = new MnStepSums { StructSize = (uint)sizeof(MnStepSums) };
        using NativeHandle.Lease lease = _handle.Use();
        Native.Check(NativeMethods.TrainerStepSums(lease.Value, restart ? 1 : 0, &sums));
        return sums;
    }

    // The parameters are now of this loss; of one's own nothing is known.
    private void NoteUpdate()
    {
        if (_loss is not OutputGradientLoss)
        {
            _model.TrainedWith = (_loss as TargetLoss)?.Kind;
        }
    }

    // Forward, from which the gradient of the caller's own loss is taken, gives another output than the step.
    private void WarnOfLayersOfTraining(IReadOnlyList<ParameterGroup> groups)
    {
        if (_model.LayersOfTraining(groups).FirstOrDefault() is { } layer)
        {
            MnistNativeLog.Write(
                MnistNativeLogLevel.Warning,
                $"{layer.Type} \"{layer.Name}\" gives another output in training than in inference: a gradient of one's own "
                + "(Loss.OutputGradient) that is taken of Forward's output is not that of the training step");
        }
    }

    /// <summary>
    /// The network's loss, and the same of every auxiliary head with its weight. A loss of the caller's own has gradients
    /// for the network's output only, so it leaves the heads alone.
    /// </summary>
    private static MnLossDesc[] WithHeads(MnLossDesc loss, Model model)
    {
        if (loss.Kind == (int)MnLossKind.OutputGradient)
        {
            return [loss];
        }

        var losses = new List<MnLossDesc> { loss };
        foreach (AuxiliaryHead head in model.Heads)
        {
            if (head.Length != model.OutputLength)
            {
                throw new ArgumentException(
                    $"Head \"{head.Name}\" gives {head.Length} values and the network {model.OutputLength}: their loss is of the same labels.");
            }

            MnLossDesc auxiliary = loss;
            auxiliary.Node = head.Node;
            auxiliary.Weight = head.Weight;
            losses.Add(auxiliary);
        }

        return [.. losses];
    }

    private StepResult Run<T>(ReadOnlySpan<T> images, ReadOnlySpan<int> labels, bool accumulate)
        where T : unmanaged
    {
        int count = NativeBatch.CountImages(images.Length, _model.InputShape, nameof(images));
        CheckCount(count, nameof(images));
        if (labels.Length != count)
        {
            throw new ArgumentException($"There are {count} images and {labels.Length} labels.", nameof(labels));
        }

        fixed (T* pixels = images)
        fixed (int* classes = labels)
        {
            return ResultOf(Run(NativeBatch.Of(pixels, count, _model.InputShape.Length, classes), accumulate));
        }
    }

    private StepResult Run<T>(ReadOnlySpan<T> images, ReadOnlySpan<float> values, bool accumulate)
        where T : unmanaged
    {
        int count = NativeBatch.CountImages(images.Length, _model.InputShape, nameof(images));
        CheckCount(count, nameof(images));
        fixed (T* pixels = images)
        fixed (float* pointer = values)
        {
            MnBatch batch = NativeBatch.Of(pixels, count, _model.InputShape.Length, labels: null);
            if (_loss is OutputGradientLoss)
            {
                batch.OutputGradients = pointer;
                batch.OutputGradientCount = (ulong)values.Length;
            }
            else
            {
                batch.Targets = pointer;
                batch.TargetCount = (ulong)values.Length;
            }

            return ResultOf(Run(batch, accumulate));
        }
    }

    private StepResult Run(IImageDataset data, ReadOnlySpan<int> indices, bool accumulate)
    {
        CheckCount(indices.Length, nameof(indices));
        _model.CheckTargets(data, _loss);
        if (data is not ImageDataset inMemory)
        {
            _model.CheckData(data);
            return RunPulled(data, indices, accumulate);
        }

        if (!_datasets.TryGetValue(inMemory, out DatasetHandle? dataset))
        {
            _model.CheckData(data);
            using NativeHandle.Lease alive = _handle.Use();
            dataset = DatasetHandle.Create(_handle.Device, inMemory);
            _datasets.Add(inMemory, dataset);
        }

        using NativeHandle.Lease lease = dataset.Use();
        ReadOnlySpan<float> targets = ReadTargets(inMemory, indices);
        fixed (int* pointer = indices)
        fixed (float* values = targets)
        {
            MnBatch batch = NativeBatch.Of(lease.Value, pointer, indices.Length);
            batch.Targets = values;
            batch.TargetCount = (ulong)targets.Length;
            return ResultOf(Run(batch, accumulate));
        }
    }

    /// <summary>The targets of images, none where the loss is one of labels.</summary>
    private ReadOnlySpan<float> ReadTargets(ImageDataset data, ReadOnlySpan<int> indices)
    {
        if (_loss is not TargetLoss)
        {
            return [];
        }

        if (_targets.Length == 0)
        {
            _targets = new float[BatchLength(data.TargetLength)];
        }

        Span<float> targets = _targets.AsSpan(0, indices.Length * data.TargetLength);
        data.ReadTargets(indices, targets);
        return targets;
    }

    private StepResult RunPulled(IImageDataset data, ReadOnlySpan<int> indices, bool accumulate)
    {
        if (_labels.Length == 0)
        {
            _pixels = new float[BatchLength(_model.InputShape.Length)];
            _labels = new int[BatchSize];
        }

        Span<float> pixels = _pixels.AsSpan(0, indices.Length * _model.InputShape.Length);
        Span<int> labels = _labels.AsSpan(0, indices.Length);
        data.Read(indices, pixels, labels);
        return Run<float>(pixels, labels, accumulate);
    }

    private MnMetrics Run(in MnBatch batch, bool accumulate)
    {
        using NativeHandle.Lease lease = _handle.Use();
        var metrics = new MnMetrics { StructSize = (uint)sizeof(MnMetrics) };
        fixed (MnBatch* pointer = &batch)
        {
            Native.Check(accumulate
                ? NativeMethods.TrainerAccumulate(lease.Value, pointer, &metrics)
                : NativeMethods.TrainerStep(lease.Value, pointer, &metrics));
        }

        _accumulated = accumulate ? _accumulated + 1 : 0;
        _lastCount = batch.Count;
        if (!accumulate)
        {
            NoteUpdate();
        }

        return metrics;
    }

    /// <summary>Values in a batch.</summary>
    /// <exception cref="ArgumentException">They are more than an array can hold.</exception>
    private int BatchLength(int length) => (long)BatchSize * length <= Array.MaxLength
        ? BatchSize * length
        : throw new ArgumentException(
            $"A batch of {BatchSize} images of {length} values has {(long)BatchSize * length}, more than the {Array.MaxLength} of an "
            + "array: make the trainer with a smaller batchSize.");

    private void CheckCount(int count, string paramName)
    {
        if (count < 1 || count > BatchSize)
        {
            throw new ArgumentException($"A batch must have 1 to {BatchSize} images, this one has {count}.", paramName);
        }
    }
}
