namespace MnistNative;

/// <summary>
/// How a classifier does on a data set, class by class. scikit-learn: <c>confusion_matrix</c> and
/// <c>classification_report</c>. Made by <see cref="Model.EvaluateReport"/>.
/// </summary>
public sealed class EvaluationReport
{
    private readonly int[,] _confusion;
    private readonly int[] _ranks;

    internal EvaluationReport(int classes)
    {
        ClassCount = classes;
        _confusion = new int[classes, classes];
        _ranks = new int[classes];
    }

    /// <summary>Number of classes.</summary>
    public int ClassCount { get; }

    /// <summary>Number of images.</summary>
    public int Count { get; private set; }

    /// <summary>Share of the images whose largest score is that of their label, 0 to 1; top-1.</summary>
    public double Accuracy => TopK(1);

    /// <summary>Images of one class that were taken for another, or for what they are.</summary>
    /// <param name="label">Their class.</param>
    /// <param name="predicted">What they were taken for.</param>
    /// <returns>Their number: the confusion matrix's element in row label and column predicted.</returns>
    public int Confusion(int label, int predicted) => _confusion[label, predicted];

    /// <summary>The confusion matrix, a row a label and a column a prediction.</summary>
    /// <returns>A new array.</returns>
    public int[,] ConfusionMatrix() => (int[,])_confusion.Clone();

    /// <summary>Share of the images whose label is among the largest scores. Keras: <c>TopKCategoricalAccuracy</c>.</summary>
    /// <param name="k">How many scores count, 1 to <see cref="ClassCount"/>.</param>
    /// <returns>0 to 1.</returns>
    public double TopK(int k)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(k, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(k, ClassCount);
        return Share(_ranks.AsSpan(0, k), Count);
    }

    /// <summary>Share of the images taken for a class that are of it; 0 when there are none.</summary>
    /// <param name="label">The class.</param>
    /// <returns>0 to 1.</returns>
    public double Precision(int label) =>
        Ratio(_confusion[label, label], Enumerable.Range(0, ClassCount).Sum(other => _confusion[other, label]));

    /// <summary>Share of the images of a class that were taken for it; 0 when there are none.</summary>
    /// <param name="label">The class.</param>
    /// <returns>0 to 1.</returns>
    public double Recall(int label) =>
        Ratio(_confusion[label, label], Enumerable.Range(0, ClassCount).Sum(other => _confusion[label, other]));

    /// <summary>Counts an image.</summary>
    internal void Add(ReadOnlySpan<float> scores, int label)
    {
        int best = 0;
        int rank = 0;
        for (int i = 0; i < scores.Length; i++)
        {
            best = scores[i] > scores[best] ? i : best;
            rank += scores[i] > scores[label] || (scores[i] == scores[label] && i < label) ? 1 : 0;
        }

        Count++;
        _confusion[label, best]++;
        if (!float.IsNaN(scores[label]))
        {
            _ranks[rank]++;
        }
    }

    private static double Share(ReadOnlySpan<int> counts, int of)
    {
        int sum = 0;
        foreach (int count in counts)
        {
            sum += count;
        }

        return Ratio(sum, of);
    }

    private static double Ratio(int part, int of) => of == 0 ? 0 : (double)part / of;
}
