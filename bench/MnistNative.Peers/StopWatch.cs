using System.Diagnostics;

namespace MnistNative.Peers;

/// <summary>The protocol of <c>mnistnative bench</c>: half a second of warm-up, then the median of five runs of a second.</summary>
internal static class StopWatch
{
    private const int WarmUpSteps = 3;
    private const int Repetitions = 5;

    public static double Median(int batch, Action<int> step)
    {
        int next = 0;
        var clock = Stopwatch.StartNew();
        while (next < WarmUpSteps || clock.Elapsed.TotalSeconds < 0.5)
        {
            step(next++);
        }

        int steps = Math.Max(1, (int)(next / clock.Elapsed.TotalSeconds));
        double[] rates = new double[Repetitions];
        for (int i = 0; i < Repetitions; i++)
        {
            clock.Restart();
            for (int k = 0; k < steps; k++)
            {
                step(next++);
            }

            rates[i] = steps * (double)batch / clock.Elapsed.TotalSeconds;
        }

        Array.Sort(rates);
        return rates[Repetitions / 2];
    }
}
