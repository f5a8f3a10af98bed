namespace MnistNative;

/// <summary>What a training step found before it changed the parameters.</summary>
/// <param name="Loss">The batch's loss.</param>
/// <param name="Correct">Images whose largest score is that of their label.</param>
/// <param name="Count">Number of images.</param>
public readonly record struct StepResult(double Loss, int Correct, int Count)
{
    /// <summary>Share of the images that are right, 0 to 1.</summary>
    public double Accuracy => Count == 0 ? 0 : (double)Correct / Count;

    /// <summary>For example <c>loss 0.1285, accuracy 96.88%</c>.</summary>
    public override string ToString() => new EvaluationResult(Count, Correct, Loss).ToString();
}
