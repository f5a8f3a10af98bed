using MnistNative.IO;
using MnistNative.Tests.Api;
using MnistNative.Tests.Data;

namespace MnistNative.Tests.Training;

public sealed class CheckpointTests
{
    private static readonly Sequential s_network = Sequential.Input(1, 8, 8)
        .Conv2d(4, kernel: 3).BatchNorm2d().ReLU().Flatten()
        .Dropout(0.4f)
        .Linear(10);

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void AnInterruptedTrainingGoesOnWithTheSameBits(int which)
    {
        Optimizer optimizer = which switch
        {
            0 => new Adam(0.01f) { Amsgrad = true },
            1 => new AdamW(0.01f),
            2 => new RmsProp(0.001f) { Momentum = 0.5f, Centered = true },
            _ => new Sgd(0.05f, 0.9f) { Dampening = 0.3f },
        };
        using var folder = new TempFolder();
        string path = folder.File("training.safetensors");
        ImageDataset data = Tiny.Bytes(30);
        FitOptions options = new() { Epochs = 4, BatchSize = 8, Optimizer = optimizer, Schedule = new OneCycleLr(), Seed = 5 };
        using Model whole = s_network.Build(seed: 3);
        TrainingResult all = whole.Fit(data, options);

        using (var interrupt = new CancellationTokenSource())
        using (Model first = s_network.Build(seed: 3))
        {
            FitOptions begun = options with { Checkpoint = path, OnBatch = batch => CancelIn(batch, interrupt) };
            Assert.Throws<TrainingCanceledException>(() => first.Fit(data, begun, cancellationToken: interrupt.Token));
            Assert.NotEqual(Tiny.ParametersOf(whole), Tiny.ParametersOf(first));
        }

        using Model second = Model.Load(path);
        Assert.Equal(3ul, second.Seed);
        TrainingResult rest = second.Fit(data, options with { ResumeFrom = path });
        Assert.Equal([3, 4], rest.Epochs.Select(epoch => epoch.Epoch));
        Assert.Equal(all.Epochs.Skip(2).Select(epoch => epoch.Loss), rest.Epochs.Select(epoch => epoch.Loss));
        Assert.False(rest.StoppedEarly);
        Assert.Equal(Tiny.ParametersOf(whole), Tiny.ParametersOf(second));

        // In the third epoch, whose batches are lost.
        static void CancelIn(BatchResult batch, CancellationTokenSource interrupt)
        {
            if (batch.Epoch == 3)
            {
                interrupt.Cancel();
            }
        }
    }

    [Theory]
    [InlineData(2)]
    [InlineData(4)]
    [InlineData(6)]
    public void EarlyStoppingAndPlateausGoOnCounting(int interruptedIn)
    {
        using var folder = new TempFolder();
        string path = folder.File("training.safetensors");
        ImageDataset data = Tiny.Bytes(30);

        // No improvement is large enough: after the first epoch, every one counts.
        FitOptions options = new()
        {
            Epochs = 9,
            BatchSize = 8,
            Optimizer = new Sgd(0.0005f, 0.9f),
            Schedule = new LinearWarmup(2, 0.4, new ReduceOnPlateau(0.5, Patience: 1, Threshold: 0.99, Cooldown: 1)),
            Validation = Tiny.Bytes(20, seed: 2),
            EarlyStopping = new EarlyStopping(Patience: 5, MinDelta: 100),
        };
        var rates = new List<float>();
        using Model whole = s_network.Build(seed: 3);
        TrainingResult all = whole.Fit(data, options with { OnBatch = batch => rates.Add(batch.LearningRate) });
        Assert.Equal((6, 1, true), (all.Epochs.Count, all.BestEpoch, all.StoppedEarly));
        Assert.Equal(4, rates.Distinct().Count());

        using (Model first = s_network.Build(seed: 3))
        {
            first.Fit(data, options with { Epochs = interruptedIn, Checkpoint = path });
        }

        using Model second = Model.Load(path);
        rates.RemoveRange(0, interruptedIn * 4);
        var restRates = new List<float>();
        TrainingResult rest = second.Fit(
            data, options with { ResumeFrom = path, OnBatch = batch => restRates.Add(batch.LearningRate) });
        Assert.Equal(rates, restRates);
        Assert.Equal((all.BestEpoch, all.StoppedEarly), (rest.BestEpoch, rest.StoppedEarly));
        Assert.Equal(6 - interruptedIn, rest.Epochs.Count);
        Assert.Equal(Tiny.ParametersOf(whole), Tiny.ParametersOf(second));
    }

    [Fact]
    public void ATrainerGoesOn()
    {
        using var folder = new TempFolder();
        string path = folder.File("trainer.safetensors");
        ImageDataset data = Tiny.Bytes(16);
        int[] indices = [.. Enumerable.Range(0, 16)];
        using Model first = s_network.Build(seed: 3);
        using Model second = s_network.Build(seed: 3);
        using Trainer one = first.CreateTrainer(new Adam(), 16);
        using Trainer two = second.CreateTrainer(new Adam(), 16);
        one.Step(data, indices);
        one.LearningRate = 0.02f;
        one.SaveCheckpoint(path);
        two.Accumulate(data, indices);
        two.LoadCheckpoint(path);
        Assert.Equal(0.02f, two.LearningRate);
        Assert.Throws<InvalidOperationException>(two.Apply);
        Assert.Equal(one.Step(data, indices).Loss, two.Step(data, indices).Loss);
        Assert.Equal(Tiny.ParametersOf(first), Tiny.ParametersOf(second));
    }

    [Fact]
    public void ABlockMayBeNamedOptimizer()
    {
        Sequential network = Sequential.Input(1, 8, 8).Flatten().Block(
            "optimizer", o => o.Linear(6, name: "best").ReLU().Block("moment1", m => m.Linear(3)));
        using var folder = new TempFolder();
        string path = folder.File("training.safetensors");
        ImageDataset data = Tiny.Bytes(30);
        FitOptions options = new()
        {
            Epochs = 4,
            BatchSize = 8,
            Validation = Tiny.Bytes(20, seed: 2),
            EarlyStopping = new EarlyStopping(Patience: 9),
        };
        using Model whole = network.Build(seed: 3);
        whole.Fit(data, options);
        using (Model first = network.Build(seed: 3))
        {
            first.Fit(data, options with { Epochs = 2, Checkpoint = path });
        }

        using Model second = Model.Load(path);
        second.Fit(data, options with { ResumeFrom = path });
        Assert.Equal(Tiny.ParametersOf(whole), Tiny.ParametersOf(second));
    }

    [Theory]
    [InlineData("\"learning_rate\":0.25", "\"learning_rate\":-1000")]
    [InlineData("\"learning_rate\":0.25", "\"learning_rate\":1e60")]
    [InlineData("\"updates\":1", "\"updates\":-1")]
    [InlineData("\"batches\":1", "\"batches\":-1")]
    [InlineData("\"epochs\":0", "\"epochs\":-1")]
    [InlineData("\"epochs\":0", "\"epochs\":0,\"schedule\":[\"NaN\",\"1\",\"0\",\"0\"]")]
    [InlineData("\"epochs\":0", "\"epochs\":0,\"schedule\":[\"0.1\",\"1\",\"-1\",\"0\"]")]
    [InlineData("\"epochs\":0", "\"epochs\":0,\"stopping\":[\"NaN\",\"0\",\"0\"]")]
    [InlineData("\"epochs\":0", "\"epochs\":0,\"stopping\":[\"1\",\"0\",\"1e10\"]")]
    public void NumbersOutOfRangeAreRefusedAndChangeNothing(string number, string wrong)
    {
        const string key = "mnistnative.training";
        using var folder = new TempFolder();
        string good = folder.File("good.safetensors");
        string bad = folder.File("bad.safetensors");
        using Model model = s_network.Build(seed: 3);
        using Trainer trainer = model.CreateTrainer(new Adam(0.25f), 8);
        trainer.Step(Tiny.Bytes(8), [0, 1, 2, 3]);
        trainer.SaveCheckpoint(good);
        using (SafeTensorsReader file = SafeTensorsReader.Open(good))
        {
            Assert.Contains(number, file.Metadata[key]);
            TensorEntry[] tensors = [.. file.Tensors];
            SafeTensorsWriter.Write(
                bad,
                new Dictionary<string, string>(file.Metadata) { [key] = file.Metadata[key].Replace(number, wrong) },
                [.. tensors.Select(tensor => new TensorToWrite(tensor.Name, tensor.Shape, (int)tensor.Count, tensor.Type == TensorType.I64))],
                (index, values) => file.Read(tensors[index], values));
        }

        trainer.Step(Tiny.Bytes(8), [4, 5, 6, 7]);
        float[] before = Tiny.ParametersOf(model);
        Assert.Contains(bad, Assert.Throws<InvalidDataException>(() => trainer.LoadCheckpoint(bad)).Message);
        Assert.Equal(before, Tiny.ParametersOf(model));
        trainer.LoadCheckpoint(good);
    }

    [Fact]
    public void WhatDoesNotFitIsRefusedAndChangesNothing()
    {
        using var folder = new TempFolder();
        string path = folder.File("adam.safetensors");
        string plain = folder.File("plain.safetensors");
        using Model model = s_network.Build(seed: 3);
        model.Save(plain);
        using (Trainer adam = model.CreateTrainer(new Adam(), 8))
        {
            adam.Step(Tiny.Bytes(8), [0, 1, 2, 3]);
            adam.SaveCheckpoint(path);
        }

        Refuses("no state of a training", plain, s_network, 3, new Adam());
        Refuses("seed 3", path, s_network, 4, new Adam());
        Refuses("moment3.0.weight", path, s_network, 3, new Adam { Amsgrad = true });
        Refuses("another optimizer", path, s_network, 3, new Sgd(0.1f));
        Refuses("moment1.7.weight", path, s_network.ReLU().Linear(3), 3, new Adam { Amsgrad = false });

        void Refuses(string fragment, string file, Sequential network, ulong seed, Optimizer optimizer)
        {
            using Model other = network.Build(seed);
            float[] before = Tiny.ParametersOf(other);
            using Trainer trainer = other.CreateTrainer(optimizer, 8);
            InvalidDataException refusal = Assert.Throws<InvalidDataException>(() => trainer.LoadCheckpoint(file));
            Assert.Contains(fragment, refusal.Message);
            Assert.Equal(before, Tiny.ParametersOf(other));
        }
    }
}
