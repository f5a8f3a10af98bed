using MnistNative.Interop;

namespace MnistNative;

/// <summary>A parameter of a model.</summary>
/// <param name="Name">Its name as PyTorch has it, for example <c>0.weight</c>.</param>
/// <param name="Shape">Its dimensions in PyTorch's layout, for example 32, 1, 3, 3.</param>
/// <param name="Count">Number of values.</param>
/// <param name="IsTrainable">Whether an optimizer changes it; false for running statistics.</param>
public sealed record ParameterInfo(string Name, IReadOnlyList<long> Shape, int Count, bool IsTrainable)
{
    /// <summary>For example <c>0.weight 32×1×3×3</c>.</summary>
    public override string ToString() => $"{Name} {NativeShape.ToText(Shape)}";
}
