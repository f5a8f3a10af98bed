using MnistNative.Interop;

namespace MnistNative;

/// <summary>A parameter of a model.</summary>
/// <param name="Name">Its name as PyTorch has it, for example <c>0.weight</c>.</param>
/// <param name="Shape">Its dimensions in PyTorch's layout, for example 32, 1, 3, 3; none for a scalar.</param>
/// <param name="Count">Number of values.</param>
/// <param name="IsTrainable">Whether an optimizer changes it; false for running statistics.</param>
public sealed record ParameterInfo(string Name, IReadOnlyList<long> Shape, int Count, bool IsTrainable)
{
    /// <summary>Whether it counts batches: a scalar of whole numbers, which files hold as such.</summary>
    internal bool IsCounter { get; init; }

    /// <summary>Length of a buffer for the exact value: a counter takes two floats, which add up to it.</summary>
    internal int ExactCount => IsCounter ? 2 : Count;

    /// <summary>The whole number that a counter's two floats add up to.</summary>
    internal static long JoinCounter(ReadOnlySpan<float> values) => (long)values[0] + (long)values[1];

    /// <summary>A counter's two floats, exact below 2^48.</summary>
    internal static void SplitCounter(long count, Span<float> values)
    {
        values[0] = count;
        values[1] = count - (long)values[0];
    }

    /// <summary>For example <c>0.weight 32×1×3×3</c>.</summary>
    public override string ToString() => Shape.Count == 0 ? $"{Name} scalar" : $"{Name} {NativeShape.ToText(Shape)}";
}
