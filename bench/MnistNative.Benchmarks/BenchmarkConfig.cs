using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Diagnosers;

namespace MnistNative.Benchmarks;

/// <summary>What all benchmarks have in common: allocations, GFLOP/s and the share of the peak.</summary>
public static class BenchmarkConfig
{
    /// <summary>The configuration, without jobs.</summary>
    public static ManualConfig Create() => ManualConfig.Create(DefaultConfig.Instance)
        // Each job builds the whole library once more, which two minutes are not always enough for.
        .WithBuildTimeout(TimeSpan.FromMinutes(15))
        .AddDiagnoser(MemoryDiagnoser.Default)
        .HideColumns(Column.Error, Column.StdDev, Column.RatioSD, Column.Gen0, Column.Gen1, Column.Gen2, Column.AllocRatio)
        .AddColumn(new WorkColumn(ofPeak: false), new WorkColumn(ofPeak: true));
}
