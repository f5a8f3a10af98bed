using MnistNative.Tests.Api;
using MnistNative.Tests.Data;

namespace MnistNative.Tests.Training;

public sealed class DivergenceTests
{
    private static readonly FitOptions s_wild = new() { Epochs = 50, BatchSize = 16, Optimizer = new Sgd(1e12f), Seed = 7 };

    [Fact]
    public void FitStopsAndSaysWhere()
    {
        using var folder = new TempFolder();
        string checkpoint = Path.Combine(folder.Path, "c.safetensors");
        string best = Path.Combine(folder.Path, "b.safetensors");
        ImageDataset data = Tiny.Floats(48);
        using Model model = Tiny.Network.Build(seed: 1);

        // Two good epochs, whose files stay.
        float[] good = [];
        var e = Assert.Throws<TrainingDivergedException>(() => model.Fit(data, s_wild with
        {
            Schedule = new StepLr(2, 1e14),
            Optimizer = new Sgd(1e-3f),
            Checkpoint = checkpoint,
            BestModel = best,
            Validation = data,
            OnEpoch = epoch => good = Tiny.ParametersOf(model),
        }));
        Assert.Equal(2, e.Result.Epochs.Count);
        Assert.True(e.Result.StoppedEarly);
        Assert.Equal(3, e.Epoch);
        Assert.InRange(e.Batch, 1, 3);
        Assert.False(double.IsFinite(e.Loss));
        Assert.Contains($"the loss of batch {e.Batch} of epoch 3 is", e.Message);
        Assert.Contains("First not finite: the output of", e.Message);
        Assert.Contains("ClipNorm", e.Message);
        Assert.Contains(e.Layer, model.Summary().Layers.Select(layer => layer.Name));

        // The model has the parameters of before the step.
        Assert.All(Tiny.ParametersOf(model), value => Assert.True(float.IsFinite(value)));
        foreach (string file in new[] { checkpoint, best })
        {
            using Model loaded = Model.Load(file);
            Assert.Equal(good, Tiny.ParametersOf(loaded));
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void TheFirstLayerIsNamed(bool pulled)
    {
        ImageDataset data = Tiny.Floats(5);
        IImageDataset given = pulled ? new PulledData(data) : data;
        using Model model = Tiny.Network.Build(seed: 1);
        float[] weights = model.GetParameter("4.weight");
        weights[3] = float.PositiveInfinity;
        model.SetParameter("4.weight", weights);
        var e = Assert.Throws<TrainingDivergedException>(() => model.Fit(given, s_wild));
        Assert.Equal("4", e.Layer);
        Assert.Contains("the parameter \"4.weight\"", e.Message);

        // Large but finite: the product overflows.
        Array.Fill(weights, 3e38f);
        model.SetParameter("4.weight", weights);
        e = Assert.Throws<TrainingDivergedException>(() => model.Fit(given, s_wild));
        Assert.Equal("4", e.Layer);
        Assert.Contains("the output of Linear \"4\"", e.Message);
        Assert.Equal((1, 1), (e.Epoch, e.Batch));
    }

    [Fact]
    public void ImagesThatAreNotFiniteAreNamed()
    {
        float[] images = Tiny.ReadAll(Tiny.Floats(20));
        images[(17 * 64) + 5] = float.NaN;
        ImageDataset data = ImageDataset.FromMemory(images, Tiny.Floats(20).Labels, Tiny.Shape, Tiny.Classes);
        using Model model = Tiny.Network.Build(seed: 1);
        var e = Assert.Throws<TrainingDivergedException>(() => model.Fit(data, new FitOptions { BatchSize = 8, Shuffle = false }));
        Assert.Equal(("Input", 3), (e.Layer, e.Batch));
        Assert.Contains("the images", e.Message);
    }

    [Fact]
    public void AnUpdateThatOverflowsIsSeenAtTheEpochsEnd()
    {
        using Model model = Sequential.Input(1).Linear(1, bias: false).Build();
        model.SetParameter("0.weight", [1f]);
        ImageDataset data = ImageDataset.FromMemory(new float[] { 1e15f }, new float[] { 0 }, model.InputShape);
        var e = Assert.Throws<TrainingDivergedException>(() => model.Fit(data, new FitOptions { Optimizer = new Sgd(1e15f) }));
        Assert.Equal("0", e.Layer);
        Assert.Contains("a parameter is not finite after epoch 1", e.Message);
        Assert.Empty(e.Result.Epochs);
    }

    [Fact]
    public void AnOptionLetsItRunOn()
    {
        using var folder = new TempFolder();
        string checkpoint = Path.Combine(folder.Path, "c.safetensors");
        ImageDataset data = Tiny.Floats(48);
        using Model model = Tiny.Network.Build(seed: 1);
        TrainingResult result = model.Fit(data, s_wild with
        {
            Epochs = 3,
            StopOnNonFinite = false,
            Validation = data,
            EarlyStopping = new EarlyStopping(Patience: 9),
            Checkpoint = checkpoint,
        });
        Assert.Equal(3, result.Epochs.Count);
        Assert.Null(result.BestEpoch);
        Assert.True(double.IsNaN(result.Epochs[^1].Loss));
        Assert.False(File.Exists(checkpoint));
    }

    [Fact]
    public void AnEpochOfNaNIsNeverTheBest()
    {
        using Model model = Tiny.Network.Build(seed: 1);
        var run = new EarlyStoppingRun(new EarlyStopping(Patience: 2), model);
        float[] first = Tiny.ParametersOf(model);
        Assert.False(run.EpochEnded(Epoch(1, double.NaN), finite: true));
        Assert.Equal(0, run.BestEpoch);
        Assert.True(run.EpochEnded(Epoch(2, 5), finite: true));
        model.SetParameter("6.bias", [1f, 2f, 3f]);
        Assert.False(run.EpochEnded(Epoch(3, 4), finite: false));
        Assert.False(run.Ended);
        Assert.False(run.EpochEnded(Epoch(4, double.NaN), finite: true));
        Assert.True(run.Ended);
        Assert.Equal(2, run.BestEpoch);
        run.Restore();
        Assert.Equal(first, Tiny.ParametersOf(model));

        static EpochResult Epoch(int epoch, double loss) =>
            new(epoch, 0, 0, new EvaluationResult(1, 0, loss, 1), TimeSpan.Zero, 0);
    }

    [Fact]
    public void AnAccuracyThatRisesIsBetter()
    {
        using Model model = Tiny.Network.Build(seed: 1);
        var run = new EarlyStoppingRun(new EarlyStopping(Patience: 2, MinDelta: 0.1, Monitor: EarlyStoppingMetric.ValidationAccuracy), model);
        bool[] better = [.. new[] { 50, 40, 55, 65, 70 }.Select((correct, i) => run.EpochEnded(
            new EpochResult(i + 1, 0, 0, new EvaluationResult(100, correct, 9 - i, 100), TimeSpan.Zero, 0), finite: true))];
        Assert.Equal([true, false, false, true, false], better);
        Assert.Equal(4, run.BestEpoch);
    }

    [Fact]
    public void AValidationThatIsNotFiniteStopsToo()
    {
        float[] images = Tiny.ReadAll(Tiny.Floats(4));
        images[3] = float.NaN;
        ImageDataset bad = ImageDataset.FromMemory(images, Tiny.Floats(4).Labels, Tiny.Shape, Tiny.Classes);
        using Model model = Tiny.Network.Build(seed: 1);
        var e = Assert.Throws<TrainingDivergedException>(() => model.Fit(Tiny.Floats(8), new FitOptions { Validation = bad }));
        Assert.Contains("the validation's loss after epoch 1 is NaN", e.Message);
    }
}
