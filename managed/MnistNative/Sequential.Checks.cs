using System.Runtime.CompilerServices;

namespace MnistNative;

public sealed partial class Sequential
{
    private static float Finite(float value, [CallerArgumentExpression(nameof(value))] string? paramName = null) =>
        float.IsFinite(value) ? value : throw new ArgumentOutOfRangeException(paramName, value, "The value must be finite.");

    private static float NotNegative(float value, [CallerArgumentExpression(nameof(value))] string? paramName = null) =>
        float.IsFinite(value) && value >= 0
            ? value
            : throw new ArgumentOutOfRangeException(paramName, value, "The value must be finite and not negative.");

    private static float Share(float value, [CallerArgumentExpression(nameof(value))] string? paramName = null) =>
        value is >= 0 and <= 1
            ? value
            : throw new ArgumentOutOfRangeException(paramName, value, "The value must be in [0, 1].");

    private static T Defined<T>(T value, [CallerArgumentExpression(nameof(value))] string? paramName = null)
        where T : struct, Enum =>
        Enum.IsDefined(value) ? value : throw new ArgumentOutOfRangeException(paramName, value, $"There is no such {typeof(T).Name}.");
}
