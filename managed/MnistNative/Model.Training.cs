namespace MnistNative;

public sealed partial class Model
{
    /// <summary>
    /// Trains the model on another thread. Data in memory is lent to the device once, other data is read while the
    /// device works. Keras: <c>fit</c>.
    /// </summary>
    /// <param name="train">Images and labels to train on; the images are not normalised but by the network itself.</param>
    /// <param name="options">How to train; the defaults when null.</param>
    /// <param name="progress">
    /// Told at most ten times a second and at the end of each epoch, by the training thread, which holds no lock.
    /// </param>
    /// <param name="cancellationToken">
    /// Ends training between two batches, or while it waits for data, with an exception that keeps the epochs' results. The
    /// model then has the parameters of the last step, or of its best epoch if <see cref="FitOptions.EarlyStopping"/>
    /// restores that, and can be used and trained on. <see cref="FitOptions.StopToken"/> ends it without an exception.
    /// </param>
    /// <returns>Losses, accuracies and times of the epochs.</returns>
    /// <remarks>
    /// Every call is a training of its own: the optimizer's state, the schedule and the order of the images begin anew, so
    /// calls with one epoch each in a loop repeat one order. To go on, take one call with more epochs,
    /// <see cref="FitOptions.ResumeFrom"/>, or a <see cref="Trainer"/>.
    /// </remarks>
    /// <exception cref="ArgumentException">The data does not fit the model, or an option is out of range.</exception>
    /// <exception cref="InvalidOperationException">The model is being trained.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    /// <exception cref="OperationCanceledException">
    /// Training was cancelled: a <see cref="TrainingCanceledException"/> once it has begun.
    /// </exception>
    /// <exception cref="TrainingDivergedException">A loss or a parameter is not finite.</exception>
    /// <exception cref="MnistNativeOutOfMemoryException">The device has too little memory for the batch size.</exception>
    public Task<TrainingResult> FitAsync(
        IImageDataset train,
        FitOptions? options = null,
        IProgress<TrainingProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        var fitting = new Fitting(this, train, options ?? new FitOptions(), progress, cancellationToken);
        return Task.Factory.StartNew(
            fitting.Run, cancellationToken, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    /// <summary>Trains the model on the calling thread; see <see cref="FitAsync"/>.</summary>
    /// <inheritdoc cref="FitAsync"/>
    public TrainingResult Fit(
        IImageDataset train,
        FitOptions? options = null,
        IProgress<TrainingProgress>? progress = null,
        CancellationToken cancellationToken = default) =>
        new Fitting(this, train, options ?? new FitOptions(), progress, cancellationToken).Run();

    /// <summary>
    /// Begins training by hand; <see cref="FitAsync"/> is more convenient. Gradients and the optimizer's state start at
    /// zero.
    /// </summary>
    /// <param name="optimizer">How the parameters follow their gradients.</param>
    /// <param name="batchSize">Largest batch that a step will take; memory is planned for it.</param>
    /// <param name="loss">What training minimises; mean cross-entropy when null.</param>
    /// <param name="inputGradient">Enables <see cref="Trainer.GetInputGradient"/>.</param>
    /// <returns>The trainer; dispose it to end training.</returns>
    /// <exception cref="ArgumentException">
    /// An option is out of range, or the network ends in a softmax, which cross-entropy contains.
    /// </exception>
    /// <exception cref="InvalidOperationException">The model is being trained.</exception>
    /// <exception cref="ObjectDisposedException">The model is disposed.</exception>
    /// <exception cref="MnistNativeOutOfMemoryException">The device has too little memory for the batch size.</exception>
    public Trainer CreateTrainer(Optimizer optimizer, int batchSize = 64, Loss? loss = null, bool inputGradient = false)
    {
        return CreateTrainer(
            optimizer, batchSize, new TrainerOptions { Loss = loss ?? Loss.CrossEntropy(), InputGradient = inputGradient });
    }

    /// <summary>Begins training by hand with more to choose from; see the other overload.</summary>
    /// <param name="optimizer">How the parameters follow their gradients.</param>
    /// <param name="batchSize">Largest batch that a step will take; memory is planned for it.</param>
    /// <param name="options">Loss, clipping, parameter groups.</param>
    /// <inheritdoc cref="CreateTrainer(Optimizer, int, Loss, bool)"/>
    public Trainer CreateTrainer(Optimizer optimizer, int batchSize, TrainerOptions options)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        ArgumentOutOfRangeException.ThrowIfLessThan(batchSize, 1);
        ArgumentNullException.ThrowIfNull(options);
        return new Trainer(this, optimizer, batchSize, options);
    }
}
