using TorchSharp;
using static TorchSharp.torch;

namespace MnistNative.Peers;

/// <summary>TorchSharp as its users write it: <c>Adam</c>, <c>CrossEntropyLoss</c>, a dispose scope a step.</summary>
internal static class TorchBench
{
    public static double Measure(string network, int batch, bool training, int threads)
    {
        set_num_threads(threads);
        random.manual_seed(1);
        long[] shape = TorchNetworks.InputShape(network);
        using nn.Module<Tensor, Tensor> model = TorchNetworks.Create(network);

        // Few enough to make in a moment, enough not to stay in the caches.
        int batches = shape[0] == 1 ? 16 : 2;
        using Tensor images = randn([batches * batch, .. shape]);
        using Tensor labels = randint(0, 10, [batches * batch]);
        if (training)
        {
            model.train();
            using optim.Optimizer adam = optim.Adam(model.parameters(), 1e-3);
            using var loss = nn.CrossEntropyLoss();
            return StopWatch.Median(batch, step =>
            {
                using DisposeScope scope = NewDisposeScope();
                long first = step % batches * (long)batch;
                TorchTraining.Step(model, adam, loss, images.narrow(0, first, batch), labels.narrow(0, first, batch));
            });
        }

        model.eval();
        using IDisposable noGradients = no_grad();
        return StopWatch.Median(batch, step =>
        {
            using DisposeScope scope = NewDisposeScope();
            model.forward(images.narrow(0, step % batches * (long)batch, batch));
        });
    }
}
