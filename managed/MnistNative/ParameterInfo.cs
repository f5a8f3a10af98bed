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

    /// <summary>For example <c>0.weight 32×1×3×3</c>.</summary>
    public override string ToString() => Shape.Count == 0 ? $"{Name} scalar" : $"{Name} {NativeShape.ToText(Shape)}";
}
