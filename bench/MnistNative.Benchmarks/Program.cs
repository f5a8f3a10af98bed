using BenchmarkDotNet.Running;
using MnistNative.Benchmarks;

BenchmarkSwitcher.FromAssembly(typeof(StepBenchmarks).Assembly).Run(args, BenchmarkConfig.Create());
