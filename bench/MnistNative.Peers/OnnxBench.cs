using Microsoft.ML.OnnxRuntime;

namespace MnistNative.Peers;

/// <summary>ONNX Runtime with every optimisation of the graph and an input that is made once.</summary>
internal static class OnnxBench
{
    public static double Measure(string network, int batch, int threads)
    {
        using var options = new SessionOptions
        {
            IntraOpNumThreads = threads,
            GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL,
        };
        using var session = new InferenceSession(OnnxNetworks.Create(network), options);
        using var run = new RunOptions();
        var random = new Random(1);
        float[] images = new float[batch * 784];
        for (int i = 0; i < images.Length; i++)
        {
            images[i] = random.NextSingle();
        }

        using OrtValue input = OrtValue.CreateTensorValueFromMemory(images, [batch, 1, 28, 28]);
        return StopWatch.Median(batch, _ =>
        {
            using IDisposableReadOnlyCollection<OrtValue> outputs =
                session.Run(run, [OnnxNetworks.Input], [input], session.OutputNames);
        });
    }
}
