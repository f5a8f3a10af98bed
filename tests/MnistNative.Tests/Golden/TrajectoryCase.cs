namespace MnistNative.Tests.Golden;

/// <summary>The first steps of training on MNIST, from given parameters.</summary>
internal static class TrajectoryCase
{
    private const double GradientTolerance = 1e-4;

    // Sooner or later rounding decides which of two nearly equal values is the maximum of a window, or whether a unit is
    // on; Adam divides by the size of the gradient, so that even the smallest gradients move parameters by whole steps.
    // Correct programs therefore part, here as against double precision: mostly after more than 30 steps, by up to 0.01
    // in the loss and by a tenth of the way in the parameters within 100 steps. A wrong update is far outside.
    private const int StrictSteps = 30;
    private const double LossTolerance = 1e-3;
    private const double LaterLossTolerance = 5e-2;
    private const double MovementTolerance = 2e-2;
    private const double LaterMovementTolerance = 0.3;

    public static async Task Run(GoldenCase c)
    {
        if ((c.Text("network"), c.Text("optimizer"), c.Text("order")) != ("seed", "adam lr 1e-3", "file"))
        {
            throw new InvalidDataException("The case is of another network, optimizer or order than the test knows.");
        }

        float[] normalize = c.Numbers("normalize");
        int batch = c.Int("batch");
        float[] losses = c["losses"];
        Assert.Equal(c.Int("steps"), losses.Length);
        ImageDataset images = await LoadAsync();

        using Model model = Sequential.Input(1, 28, 28)
            .Normalize(normalize[0], normalize[1])
            .Conv2d(32, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
            .Conv2d(64, kernel: 3, padding: 1).ReLU().MaxPool2d(2)
            .Flatten()
            .Linear(128).ReLU()
            .Linear(10)
            .Build(device: c.Device);
        Assert.Equal(c.NamesUnder("initial/"), model.Parameters.Select(parameter => parameter.Name));
        foreach (ParameterInfo parameter in model.Parameters)
        {
            model.SetParameter(parameter.Name, c[$"initial/{parameter.Name}"]);
        }

        using Trainer trainer = model.CreateTrainer(new Adam(1e-3f), batch);
        for (int step = 0; step < losses.Length; step++)
        {
            int[] indices = [.. Enumerable.Range(step * batch, batch)];
            double loss = trainer.Step(images, indices).Loss;
            if (step == 0)
            {
                foreach (ParameterInfo parameter in model.Parameters)
                {
                    string name = $"first_grad/{parameter.Name}";
                    NormWise.AssertClose(name, c[name], model.GetGradient(parameter.Name), GradientTolerance);
                }
            }

            double tolerance = step < StrictSteps ? LossTolerance : LaterLossTolerance;
            Assert.True(
                Math.Abs(loss - losses[step]) <= tolerance,
                $"The loss of step {step + 1} is {loss:F6} instead of {losses[step]:F6}; allowed is a difference of {tolerance}.");
        }

        foreach (ParameterInfo parameter in model.Parameters)
        {
            (string name, float[] before) = ($"final/{parameter.Name}", c[$"initial/{parameter.Name}"]);
            NormWise.AssertClose(
                $"movement to {name}",
                NormWise.Difference(c[name], before),
                NormWise.Difference(model.GetParameter(parameter.Name), before),
                losses.Length <= StrictSteps ? MovementTolerance : LaterMovementTolerance);
        }
    }

    /// <summary>MNIST's training images from this machine; skips the test where they are not.</summary>
    private static async Task<ImageDataset> LoadAsync()
    {
        var loader = new DatasetLoader(DatasetSource.Mnist);
        foreach (string? folder in (string?[])[loader.DataFolder, loader.CacheFolder])
        {
            if (!string.IsNullOrEmpty(folder) && Directory.Exists(folder))
            {
                try
                {
                    return (await Mnist.LoadAsync(folder)).Train;
                }
                catch (FileNotFoundException)
                {
                    // The next place may have them.
                }
            }
        }

        Assert.Skip($"MNIST is not on this machine: {DatasetLoader.DataVariable} names a folder with its files");
        return null!;
    }
}
