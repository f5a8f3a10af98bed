namespace MnistNative;

/// <summary>What a training step found before it changed the parameters.</summary>
/// <param name="Loss">The batch's loss.</param>
/// <param name="Correct">
/// Images whose largest score is that of their label. An image with a NaN among its scores is never right.
/// </param>
/// <param name="Count">Number of images.</param>
/// <param name="LabelCount">
/// Images whose label counts, which is what <paramref name="Correct"/> is out of: without those that the loss ignores, and 0
/// where the loss takes no labels.
/// </param>
public readonly record struct StepResult(double Loss, int Correct, int Count, int LabelCount)
{
    /// <summary>
    /// Share of the images whose label counts that are right, 0 to 1; null where there are none, as with a loss of values.
    /// </summary>
    public double? Accuracy => LabelCount == 0 ? null : (double)Correct / LabelCount;

    /// <summary>For example <c>loss 0.1285, accuracy 96.88%</c>; without an accuracy where there is none.</summary>
    public override string ToString() => EvaluationResult.Text(Loss, Accuracy);
}
