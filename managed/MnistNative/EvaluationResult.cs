using System.Globalization;

namespace MnistNative;

/// <summary>How well a model does on a data set.</summary>
/// <param name="Count">Number of images.</param>
/// <param name="Correct">
/// Images whose largest score is that of their label. An image with a NaN among its scores is never right.
/// </param>
/// <param name="Loss">The loss as its reduction defines it, over all images: for a mean, the mean over what counts.</param>
/// <param name="LabelCount">
/// Images whose label counts, which is what <paramref name="Correct"/> is out of: without those that the loss ignores, and 0
/// where the loss takes no labels.
/// </param>
public readonly record struct EvaluationResult(int Count, int Correct, double Loss, int LabelCount)
{
    /// <summary>
    /// Share of the images whose label counts that are right, 0 to 1; null where there are none, as with a loss of values.
    /// </summary>
    public double? Accuracy => LabelCount == 0 ? null : (double)Correct / LabelCount;

    /// <summary>For example <c>loss 0.0397, accuracy 98.60%</c>; without an accuracy where there is none.</summary>
    public override string ToString() => Text(Loss, Accuracy);

    internal static string Text(double loss, double? accuracy) => accuracy is { } share
        ? string.Create(CultureInfo.InvariantCulture, $"loss {loss:F4}, accuracy {share * 100:F2}%")
        : string.Create(CultureInfo.InvariantCulture, $"loss {loss:F4}");
}
