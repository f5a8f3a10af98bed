using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Filters;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Loggers;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using MnistNative.Benchmarks;

namespace MnistNative.Tests;

/// <summary>Runs every benchmark once, for one image: times mean nothing so, but the code cannot rot.</summary>
/// <remarks>Alone: a benchmark uses every core, and BenchmarkDotNet the process's console.</remarks>
[CollectionDefinition(nameof(BenchmarkTests), DisableParallelization = true)]
[Collection(nameof(BenchmarkTests))]
public sealed class BenchmarkTests
{
    [Fact]
    public void EveryBenchmarkRuns()
    {
        using var artifacts = new Data.TempFolder();
        ManualConfig config = BenchmarkConfig.Create()
            .AddJob(Job.Dry.WithToolchain(InProcessEmitToolchain.Instance))
            .AddFilter(new SimpleFilter(one => one.Parameters["BatchSize"] is null or 1))
            .AddLogger(NullLogger.Instance)
            .WithArtifactsPath(artifacts.Path)
            .WithOptions(ConfigOptions.DisableOptimizationsValidator);

        Summary[] summaries = BenchmarkRunner.Run(typeof(StepBenchmarks).Assembly, config);

        // Step, inference, three layers, cross-entropy, Adam.
        Assert.Equal(7, summaries.Length);
        foreach (Summary summary in summaries)
        {
            Assert.False(summary.HasCriticalValidationErrors, string.Join('\n', summary.ValidationErrors));
            Assert.NotEmpty(summary.Reports);
            foreach (BenchmarkReport report in summary.Reports)
            {
                string name = report.BenchmarkCase.DisplayInfo;
                Assert.True(report.Success, name);
                Assert.True(double.Parse(Value(summary, report, "GFLOP/s"), provider: null) >= 0, name);
                Assert.EndsWith("%", Value(summary, report, "Of peak"), StringComparison.Ordinal);
            }
        }
    }

    private static string Value(Summary summary, BenchmarkReport report, string column) =>
        summary.GetColumns().Single(candidate => candidate.ColumnName == column).GetValue(summary, report.BenchmarkCase);
}
