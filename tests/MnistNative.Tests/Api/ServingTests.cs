using MnistNative.Tests.Data;

namespace MnistNative.Tests.Api;

/// <summary>A model that predicts on several threads while it is reloaded or disposed.</summary>
public class ServingTests
{
    private static readonly float[] s_image = [.. Enumerable.Repeat(1f, 16)];

    private static Sequential Network => Sequential.Input(16).Linear(16).Linear(16).Linear(16).Linear(4);

    [Fact]
    public void PredictionsDuringACopyAreOfTheOneModelOrTheOther() => Reload((model, source, _) => model.CopyParametersFrom(source));

    [Fact]
    public void PredictionsDuringALoadAreOfTheOneFileOrTheOther() => Reload((model, _, path) => model.LoadParameters(path));

    [Fact]
    public void PredictionsDuringACheckpointsLoadAreOfTheOneOrTheOther()
    {
        using Model model = Network.Build(seed: 1);
        using Trainer trainer = model.CreateTrainer(new Adam(), 1);
        using var folder = new TempFolder();
        string one = Path.Combine(folder.Path, "1.safetensors"), two = Path.Combine(folder.Path, "2.safetensors");
        trainer.SaveCheckpoint(one);
        float[] first = model.Forward(s_image);
        trainer.Step(s_image, [1]);
        trainer.SaveCheckpoint(two);
        CheckPredictions(model, first, model.Forward(s_image), i => trainer.LoadCheckpoint(i % 2 == 0 ? one : two));
    }

    [Fact]
    public void CallsThatBeginAfterDisposeAreRefusedWhileOthersRun()
    {
        for (int round = 0; round < 5; round++)
        {
            Model model = Network.Build();
            int disposed = 0, late = 0, running = 0;
            Thread[] threads = [.. Enumerable.Range(0, 3).Select(_ => new Thread(() =>
            {
                Interlocked.Increment(ref running);
                for (; ; )
                {
                    bool after = Volatile.Read(ref disposed) != 0;
                    try
                    {
                        model.Forward(s_image);
                    }
                    catch (ObjectDisposedException)
                    {
                        return;
                    }

                    if (after && Interlocked.Increment(ref late) > 1000)
                    {
                        return;
                    }
                }
            }))];
            Array.ForEach(threads, thread => thread.Start());
            SpinWait.SpinUntil(() => Volatile.Read(ref running) == threads.Length);
            Thread.Sleep(20);
            model.Dispose();
            Volatile.Write(ref disposed, 1);
            Array.ForEach(threads, thread => thread.Join());
            Assert.Equal(0, late);
        }
    }

    private static void Reload(Action<Model, Model, string> reload)
    {
        using Model model = Network.Build(seed: 1);
        using Model one = Network.Build(seed: 2);
        using Model two = Network.Build(seed: 3);
        using var folder = new TempFolder();
        string[] paths = [Path.Combine(folder.Path, "1.safetensors"), Path.Combine(folder.Path, "2.safetensors")];
        one.Save(paths[0]);
        two.Save(paths[1]);
        reload(model, one, paths[0]);
        CheckPredictions(model, one.Forward(s_image), two.Forward(s_image), i =>
            reload(model, i % 2 == 0 ? one : two, paths[i % 2]));
    }

    private static void CheckPredictions(Model model, float[] one, float[] two, Action<int> reload)
    {
        Assert.NotEqual(one, two);
        bool done = false;
        int seen = 0, mixed = 0;
        Thread[] threads = [.. Enumerable.Range(0, 2).Select(_ => new Thread(() =>
        {
            while (!Volatile.Read(ref done))
            {
                float[] got = model.Forward(s_image);
                Interlocked.Increment(ref seen);
                if (!got.SequenceEqual(one) && !got.SequenceEqual(two))
                {
                    Interlocked.Increment(ref mixed);
                }
            }
        }))];
        Array.ForEach(threads, thread => thread.Start());
        for (int i = 0; i < 100 || Volatile.Read(ref seen) < 100; i++)
        {
            reload(i);
        }

        Volatile.Write(ref done, true);
        Array.ForEach(threads, thread => thread.Join());
        Assert.Equal(0, mixed);
    }
}
