using System.Globalization;
using System.Runtime.CompilerServices;
using Microsoft.ML.OnnxRuntime;
using TorchSharp;
using static TorchSharp.torch;

namespace MnistNative.Peers;

/// <summary>
/// What MnistNative.StartUp does, with another library: prints the time of the first answer, in milliseconds since 1970,
/// and the memory that the process holds then, in KiB.
/// </summary>
internal static class FirstPrediction
{
    public static void Run(string library)
    {
        float[] image = new float[784];
        _ = library switch
        {
            "torchsharp" => WithTorchSharp(image),
            "onnxruntime" => WithOnnxRuntime(image),
            _ => throw new ArgumentOutOfRangeException(nameof(library), library, "torchsharp or onnxruntime is needed."),
        };

        double now = (DateTime.UtcNow - DateTime.UnixEpoch).TotalMilliseconds;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{now:F1} {Environment.WorkingSet / 1024}"));
    }

    // Methods of their own, so that one library's types do not load the other.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static long WithTorchSharp(float[] image)
    {
        using nn.Module<Tensor, Tensor> model = TorchNetworks.Create("seed");
        model.eval();
        using IDisposable noGradients = no_grad();
        using DisposeScope scope = NewDisposeScope();
        return model.forward(tensor(image, [1, 1, 28, 28])).argmax(1).item<long>();
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static long WithOnnxRuntime(float[] image)
    {
        using var session = new InferenceSession(OnnxNetworks.Create("seed"));
        using var run = new RunOptions();
        using OrtValue input = OrtValue.CreateTensorValueFromMemory(image, [1, 1, 28, 28]);
        using IDisposableReadOnlyCollection<OrtValue> outputs =
            session.Run(run, [OnnxNetworks.Input], [input], session.OutputNames);
        ReadOnlySpan<float> logits = outputs[0].GetTensorDataAsSpan<float>();
        int best = 0;
        for (int i = 1; i < logits.Length; i++)
        {
            best = logits[i] > logits[best] ? i : best;
        }

        return best;
    }
}
