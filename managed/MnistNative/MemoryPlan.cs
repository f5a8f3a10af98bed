using MnistNative.Interop;

namespace MnistNative;

/// <summary>Bytes that a model, or a trainer with its model, has planned. They do not change from step to step.</summary>
/// <param name="Batch">Images that the plan takes at once.</param>
/// <param name="ParameterBytes">Parameters and running statistics.</param>
/// <param name="GradientBytes">Gradients (trainer).</param>
/// <param name="OptimizerBytes">Optimizer state (trainer).</param>
/// <param name="PackedBytes">Weights in the form that kernels read, derived from the parameters.</param>
/// <param name="ArenaBytes">Activations, their gradients and saved state, which share memory over time.</param>
/// <param name="WorkspaceBytes">Scratch memory of kernels.</param>
public sealed record MemoryPlan(
    int Batch,
    long ParameterBytes,
    long GradientBytes,
    long OptimizerBytes,
    long PackedBytes,
    long ArenaBytes,
    long WorkspaceBytes)
{
    /// <summary>Time that compiling the plan took, without allocating and filling parameters and activations.</summary>
    public TimeSpan CompileTime { get; private init; }

    /// <summary>All of it.</summary>
    public long TotalBytes =>
        ParameterBytes + GradientBytes + OptimizerBytes + PackedBytes + ArenaBytes + WorkspaceBytes;

    internal static MemoryPlan From(in MnMemoryPlan plan) => new(
        plan.Batch,
        plan.ParameterBytes,
        plan.GradientBytes,
        plan.OptimizerBytes,
        plan.PackedBytes,
        plan.ArenaBytes,
        plan.WorkspaceBytes)
    {
        CompileTime = TimeSpan.FromTicks(plan.CompileNanoseconds / TimeSpan.NanosecondsPerTick),
    };
}
