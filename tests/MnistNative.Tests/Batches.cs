namespace MnistNative.Tests;

/// <summary>Calls with as many images as the span holds.</summary>
internal static class Batches
{
    public static float[] ForwardAll(this Model model, ReadOnlySpan<float> images) =>
        model.Forward(images, images.Length / model.InputShape.Length);

    public static float[] ForwardAll(this Model model, ReadOnlySpan<byte> images) =>
        model.Forward(images, images.Length / model.InputShape.Length);

    public static int[] PredictAll(this Model model, ReadOnlySpan<float> images) =>
        model.Predict(images, images.Length / model.InputShape.Length);

    public static int[] PredictAll(this Model model, ReadOnlySpan<byte> images) =>
        model.Predict(images, images.Length / model.InputShape.Length);

    public static float[] ProbabilitiesOfAll(this Model model, ReadOnlySpan<float> images) =>
        model.PredictProbabilities(images, images.Length / model.InputShape.Length);

    public static float[] ProbabilitiesOfAll(this Model model, ReadOnlySpan<byte> images) =>
        model.PredictProbabilities(images, images.Length / model.InputShape.Length);
}
