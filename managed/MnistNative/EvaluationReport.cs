using System.Globalization;

namespace MnistNative;

/// <summary>
/// How a classifier does on a data set, class by class; <see cref="ToString"/> gives the table. scikit-learn:
/// <c>confusion_matrix</c> and <c>classification_report</c>. Made by
/// <see cref="Model.EvaluateReport(IImageDataset, CancellationToken)"/>.
/// </summary>
public sealed class EvaluationReport
{
    private readonly int[,] _confusion;
    private readonly int[] _ranks;
    private readonly int[] _support;

    internal EvaluationReport(int classes)
    {
        ClassCount = classes;
        _confusion = new int[classes, classes];
        _ranks = new int[classes];
        _support = new int[classes];
    }

    /// <summary>Number of classes.</summary>
    public int ClassCount { get; }

    /// <summary>Number of images whose label counts.</summary>
    public int Count { get; private set; }

    /// <summary>
    /// Images with a NaN among their scores. They are taken for no class and are never right; <see cref="Count"/> and
    /// <see cref="Support"/> have them.
    /// </summary>
    public int Unclassified { get; private set; }

    /// <summary>Share of the images whose largest score is that of their label, 0 to 1; top-1.</summary>
    public double Accuracy => TopK(1);

    /// <summary>Mean of the classes' precisions, each class counting alike.</summary>
    public double MacroPrecision => Macro(Precision);

    /// <summary>Mean of the classes' recalls, each class counting alike; the balanced accuracy.</summary>
    public double MacroRecall => Macro(Recall);

    /// <summary>Mean of the classes' F1, each class counting alike.</summary>
    public double MacroF1 => Macro(F1);

    /// <summary>Mean of the classes' precisions, each class counting as often as it has images.</summary>
    public double WeightedPrecision => Weighted(Precision);

    /// <summary>Mean of the classes' recalls, each class counting as often as it has images; the accuracy.</summary>
    public double WeightedRecall => Weighted(Recall);

    /// <summary>Mean of the classes' F1, each class counting as often as it has images.</summary>
    public double WeightedF1 => Weighted(F1);

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
        return Ratio(_ranks.Take(k).Sum(), Count);
    }

    /// <summary>Images of a class.</summary>
    /// <param name="label">The class.</param>
    /// <returns>Their number.</returns>
    public int Support(int label) => _support[label];

    /// <summary>Share of the images taken for a class that are of it; 0 when there are none.</summary>
    /// <param name="label">The class.</param>
    /// <returns>0 to 1.</returns>
    public double Precision(int label) =>
        Ratio(_confusion[label, label], Enumerable.Range(0, ClassCount).Sum(other => _confusion[other, label]));

    /// <summary>Share of the images of a class that were taken for it; 0 when there are none.</summary>
    /// <param name="label">The class.</param>
    /// <returns>0 to 1.</returns>
    public double Recall(int label) => Ratio(_confusion[label, label], _support[label]);

    /// <summary>The harmonic mean of a class's precision and recall; 0 when both are.</summary>
    /// <param name="label">The class.</param>
    /// <returns>0 to 1.</returns>
    public double F1(int label)
    {
        int taken = Enumerable.Range(0, ClassCount).Sum(other => _confusion[other, label]);
        return Ratio(2 * (long)_confusion[label, label], (long)taken + _support[label]);
    }

    /// <summary>Precision, recall, F1 and number of images of each class, their means, and the accuracy.</summary>
    public override string ToString()
    {
        List<string[]> rows = [["class", "precision", "recall", "F1", "images"]];
        rows.AddRange(Enumerable.Range(0, ClassCount).Select(label => Row(
            label.ToString(CultureInfo.InvariantCulture), Precision(label), Recall(label), F1(label), _support[label])));
        rows.Add(Row("macro mean", MacroPrecision, MacroRecall, MacroF1, Count));
        rows.Add(Row("weighted mean", WeightedPrecision, WeightedRecall, WeightedF1, Count));
        string unclassified = Unclassified == 0 ? "" : $", {Number(Unclassified)} with NaN for a score";
        return string.Join(
            Environment.NewLine,
            TextTable.Format(rows, leftColumns: 1),
            string.Create(
                CultureInfo.InvariantCulture, $"accuracy {Accuracy * 100:F2}% of {Number(Count)} images{unclassified}"));
    }

    /// <summary>Counts an image.</summary>
    internal void Add(ReadOnlySpan<float> scores, int label)
    {
        Count++;
        _support[label]++;
        int best = Model.IndexOfLargest(scores);
        if (best < 0)
        {
            Unclassified++;
            return;
        }

        int rank = 0;
        for (int i = 0; i < scores.Length; i++)
        {
            rank += scores[i] > scores[label] || (scores[i] == scores[label] && i < label) ? 1 : 0;
        }

        _confusion[label, best]++;
        _ranks[rank]++;
    }

    private static string[] Row(string name, double precision, double recall, double f1, int images) =>
        [name, Share(precision), Share(recall), Share(f1), Number(images)];

    private static string Share(double value) => value.ToString("F4", CultureInfo.InvariantCulture);

    private static string Number(int value) => value.ToString("N0", CultureInfo.InvariantCulture);

    private static double Ratio(long part, long of) => of == 0 ? 0 : (double)part / of;

    private double Macro(Func<int, double> value) => Enumerable.Range(0, ClassCount).Average(value);

    private double Weighted(Func<int, double> value) =>
        Count == 0 ? 0 : Enumerable.Range(0, ClassCount).Sum(label => value(label) * _support[label]) / Count;
}
