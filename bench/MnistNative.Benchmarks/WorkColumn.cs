using System.Globalization;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Parameters;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;

namespace MnistNative.Benchmarks;

/// <summary>A class of benchmarks that says how much arithmetic each of them does.</summary>
public interface ICounted
{
    /// <summary>
    /// Floating-point operations of a benchmark, a multiplication and an addition counting as two, as the layer's
    /// definition has them: an algorithm that gets by with fewer shows a higher rate.
    /// </summary>
    /// <param name="method">The benchmark's method.</param>
    double Operations(string method);
}

/// <summary>Billions of operations a second, or their share of <see cref="Peak.GigaFlops"/>.</summary>
public sealed class WorkColumn(bool ofPeak) : IColumn
{
    public string Id => $"{nameof(WorkColumn)}.{ColumnName}";

    public string ColumnName => ofPeak ? "Of peak" : "GFLOP/s";

    public string Legend => ofPeak
        ? string.Create(CultureInfo.InvariantCulture, $"Share of {Peak.GigaFlops:F0} GFLOP/s, what all processors reach with nothing but fused multiply-adds")
        : "Operations of the layer's definition, in billions a second";

    public bool AlwaysShow => true;

    public ColumnCategory Category => ColumnCategory.Custom;

    public int PriorityInCategory => ofPeak ? 1 : 0;

    public bool IsNumeric => true;

    public UnitType UnitType => UnitType.Dimensionless;

    public bool IsAvailable(Summary summary) => true;

    public bool IsDefault(Summary summary, BenchmarkCase benchmarkCase) => false;

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style) => GetValue(summary, benchmarkCase);

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase)
    {
        if (summary[benchmarkCase]?.ResultStatistics is not { } statistics)
        {
            return "NA";
        }

        Descriptor descriptor = benchmarkCase.Descriptor;
        var counted = (ICounted)Activator.CreateInstance(descriptor.Type)!;
        foreach (ParameterInstance parameter in benchmarkCase.Parameters.Items)
        {
            descriptor.Type.GetProperty(parameter.Name)!.SetValue(counted, parameter.Value);
        }

        // Statistics are in nanoseconds.
        double rate = counted.Operations(descriptor.WorkloadMethod.Name) / statistics.Mean;
        return ofPeak
            ? (rate / Peak.GigaFlops).ToString("P0", CultureInfo.InvariantCulture)
            : rate.ToString("F1", CultureInfo.InvariantCulture);
    }

    public override string ToString() => ColumnName;
}
