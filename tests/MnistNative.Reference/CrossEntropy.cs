using System.Numerics;

namespace MnistNative.Reference;

/// <summary>Cross-entropy of class labels, of raw scores.</summary>
public static class CrossEntropy
{
    /// <summary>The loss, its gradient by the scores, and how many images have the largest score (the first of equals) at their label.</summary>
    public static (T Loss, Tensor<T> Gradient, int Correct) Of<T>(Tensor<T> scores, ReadOnlySpan<int> labels, bool mean = true)
        where T : struct, IBinaryFloatingPointIeee754<T>
    {
        int count = scores.Shape.N;
        T share = mean ? T.One / T.CreateChecked(count) : T.One;
        var gradient = new Tensor<T>(scores.Shape, [.. scores.Values]);
        T loss = T.Zero;
        int correct = 0;
        for (int n = 0; n < count; n++)
        {
            ReadOnlySpan<T> row = Softmax<T>.Row(scores, n);
            int best = 0;
            for (int i = 1; i < row.Length; i++)
            {
                best = row[i] > row[best] ? i : best;
            }

            correct += best == labels[n] ? 1 : 0;
            Span<T> diff = Softmax<T>.Row(gradient, n);
            loss += (Softmax<T>.Apply(diff) - row[labels[n]]) * share;
            diff[labels[n]] -= T.One;
            foreach (ref T value in diff)
            {
                value *= share;
            }
        }

        return (loss, gradient, correct);
    }
}
