using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using System.IO.Compression;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace MnistNative.Peers;

/// <summary>The whole job of <c>mnistnative train</c> in TorchSharp, for its wall time.</summary>
internal static class TorchTraining
{
    private const int BatchSize = 64;
    private const int EvaluationBatchSize = 500;

    public static void Run(string folder, int epochs, int threads)
    {
        set_num_threads(threads);
        random.manual_seed(1);
        (Tensor images, Tensor labels) = Load(folder, "train");
        (Tensor testImages, Tensor testLabels) = Load(folder, "t10k");
        using nn.Module<Tensor, Tensor> model = TorchNetworks.Create("seed");
        using optim.Optimizer adam = optim.Adam(model.parameters(), 1e-3);
        using var loss = nn.CrossEntropyLoss();
        var clock = Stopwatch.StartNew();
        for (int epoch = 1; epoch <= epochs; epoch++)
        {
            model.train();
            using Tensor order = randperm(images.shape[0]);
            double sum = 0;
            int steps = 0;
            for (long first = 0; first < images.shape[0]; first += BatchSize, steps++)
            {
                using DisposeScope scope = NewDisposeScope();
                Tensor chosen = order.narrow(0, first, Math.Min(BatchSize, images.shape[0] - first));
                sum += Step(model, adam, loss, images.index_select(0, chosen), labels.index_select(0, chosen));
            }

            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"epoch {epoch}: loss {sum / steps:F4}, test accuracy {Accuracy(model, testImages, testLabels):P2}, {clock.Elapsed.TotalSeconds:F1} s"));
        }
    }

    /// <summary>One step; the value of the loss.</summary>
    public static float Step(
        nn.Module<Tensor, Tensor> model,
        optim.Optimizer optimizer,
        CrossEntropyLoss loss,
        Tensor images,
        Tensor labels)
    {
        optimizer.zero_grad();
        Tensor value = loss.forward(model.forward(images), labels);
        value.backward();
        optimizer.step();
        return value.item<float>();
    }

    private static double Accuracy(nn.Module<Tensor, Tensor> model, Tensor images, Tensor labels)
    {
        model.eval();
        using IDisposable noGradients = no_grad();
        long right = 0;
        for (long first = 0; first < images.shape[0]; first += EvaluationBatchSize)
        {
            using DisposeScope scope = NewDisposeScope();
            long count = Math.Min(EvaluationBatchSize, images.shape[0] - first);
            Tensor classes = model.forward(images.narrow(0, first, count)).argmax(1);
            right += classes.eq(labels.narrow(0, first, count)).sum().item<long>();
        }

        return right / (double)images.shape[0];
    }

    private static (Tensor Images, Tensor Labels) Load(string folder, string part)
    {
        byte[] pixels = Read(Path.Combine(folder, $"{part}-images-idx3-ubyte.gz"));
        byte[] labels = Read(Path.Combine(folder, $"{part}-labels-idx1-ubyte.gz"));
        int count = BinaryPrimitives.ReadInt32BigEndian(pixels.AsSpan(4));
        float[] images = new float[count * 784];
        for (int i = 0; i < images.Length; i++)
        {
            images[i] = ((pixels[16 + i] / 255f) - 0.1307f) / 0.3081f;
        }

        long[] classes = new long[count];
        for (int i = 0; i < count; i++)
        {
            classes[i] = labels[8 + i];
        }

        return (tensor(images, [count, 1, 28, 28]), tensor(classes));
    }

    private static byte[] Read(string path)
    {
        using var file = new GZipStream(File.OpenRead(path), CompressionMode.Decompress);
        using var content = new MemoryStream();
        file.CopyTo(content);
        return content.ToArray();
    }
}
