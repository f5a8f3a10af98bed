using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Numerics;

namespace MnistNative.Cli;

/// <summary>Options with numbers, in the invariant culture and without thousands separators or spaces.</summary>
internal static class Numbers
{
    /// <summary>An option that takes a whole number of a range.</summary>
    /// <param name="option">The option.</param>
    /// <param name="minimum">The least value.</param>
    /// <param name="maximum">The greatest value.</param>
    /// <param name="byDefault">The value of an option that is not given.</param>
    public static Option<T> Whole<T>(this Option<T> option, T minimum, T maximum, T byDefault)
        where T : struct, IBinaryInteger<T>
    {
        option.DefaultValueFactory = _ => byDefault;
        option.CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            if (T.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out T value)
                && value >= minimum && value <= maximum)
            {
                return value;
            }

            return Refuse(result, string.Create(CultureInfo.InvariantCulture, $"a whole number from {minimum} to {maximum}"), byDefault);
        };
        return option;
    }

    /// <summary>An option that takes a number above 0; null if it is not given.</summary>
    public static Option<float?> Positive(this Option<float?> option)
    {
        const NumberStyles Styles = NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent;
        option.CustomParser = result =>
            float.TryParse(result.Tokens[0].Value, Styles, CultureInfo.InvariantCulture, out float value)
            && float.IsFinite(value) && value > 0
                ? value
                : Refuse<float?>(result, "a number above 0, such as 0.001 or 1e-3", null);
        return option;
    }

    private static T Refuse<T>(ArgumentResult result, string expected, T value)
    {
        string name = ((OptionResult)result.Parent!).Option.Name;
        result.AddError($"{name} takes {expected}, got \"{result.Tokens[0].Value}\".");
        return value;
    }
}
