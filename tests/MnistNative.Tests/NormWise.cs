namespace MnistNative.Tests;

/// <summary>Compares whole tensors: ‖actual − expected‖₂ against ‖expected‖₂.</summary>
internal static class NormWise
{
    public static double Norm(ReadOnlySpan<float> values)
    {
        double sum = 0;
        foreach (float value in values)
        {
            sum += (double)value * value;
        }

        return Math.Sqrt(sum);
    }

    /// <summary>The difference of two tensors, element by element.</summary>
    public static float[] Difference(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        Assert.Equal(a.Length, b.Length);
        float[] difference = new float[a.Length];
        for (int i = 0; i < a.Length; i++)
        {
            difference[i] = a[i] - b[i];
        }

        return difference;
    }

    /// <summary>Fails unless ‖actual − expected‖ ≤ tolerance · ‖expected‖ + allowance. A NaN fails.</summary>
    /// <param name="what">What the tensors are, for the message.</param>
    /// <param name="expected">The right values.</param>
    /// <param name="actual">The values to be judged.</param>
    /// <param name="tolerance">Allowed relative difference.</param>
    /// <param name="allowance">Allowed absolute difference besides.</param>
    public static void AssertClose(
        string what, ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, double tolerance, double allowance = 0)
    {
        Assert.True(expected.Length == actual.Length, $"{what} has {actual.Length} values, not {expected.Length}.");
        double norm = Norm(expected);
        double distance = Norm(Difference(expected, actual));
        if (distance <= (tolerance * norm) + allowance)
        {
            return;
        }

        int worst = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            double difference = Math.Abs((double)expected[i] - actual[i]);
            if (double.IsNaN(difference) || difference > Math.Abs((double)expected[worst] - actual[worst]))
            {
                worst = i;
                if (double.IsNaN(difference))
                {
                    break;
                }
            }
        }

        Assert.Fail(
            $"{what}: ‖actual − expected‖ / ‖expected‖ is {distance / norm:G3}, allowed is " +
            $"{tolerance + (allowance / norm):G3}; at {worst} of {expected.Length} the value is {actual[worst]:G9} instead of {expected[worst]:G9}.");
    }
}
