using System.Globalization;

namespace MnistNative;

/// <summary>How well a model does on a data set.</summary>
/// <param name="Count">Number of images.</param>
/// <param name="Correct">Images whose largest score is that of their label.</param>
/// <param name="Loss">Mean cross-entropy.</param>
public readonly record struct EvaluationResult(int Count, int Correct, double Loss)
{
    /// <summary>Share of the images that are right, 0 to 1.</summary>
    public double Accuracy => Count == 0 ? 0 : (double)Correct / Count;

    /// <summary>For example <c>loss 0.0397, accuracy 98.60%</c>.</summary>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"loss {Loss:F4}, accuracy {Accuracy * 100:F2}%");
}
