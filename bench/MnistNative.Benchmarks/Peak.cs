using System.Diagnostics;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace MnistNative.Benchmarks;

/// <summary>What the machine can do: fused multiply-adds on registers, on every processor, measured once.</summary>
public static class Peak
{
    private const int Repetitions = 5;
    private const int Steps = 4_000_000;
    private const int Chains = 12;

    private static readonly Lazy<double> s_gigaFlops = new(Measure);

    /// <summary>Billions of float32 operations a second; a multiplication and an addition count as two.</summary>
    public static double GigaFlops => s_gigaFlops.Value;

    private static double Measure()
    {
        int width = Vector512.IsHardwareAccelerated ? Vector512<float>.Count : Vector<float>.Count;
        double operations = 2.0 * Environment.ProcessorCount * Steps * Chains * width;
        double best = 0;
        float[] results = new float[Environment.ProcessorCount];
        for (int repetition = 0; repetition < Repetitions; repetition++)
        {
            Thread[] threads = [.. results.Select((_, i) => new Thread(() => results[i] = Multiply(i * 1e-3f)))];
            long start = Stopwatch.GetTimestamp();
            foreach (Thread thread in threads)
            {
                thread.Start();
            }

            foreach (Thread thread in threads)
            {
                thread.Join();
            }

            best = Math.Max(best, operations / Stopwatch.GetElapsedTime(start).TotalNanoseconds);
        }

        // The sums have to be used, or nothing would be computed.
        return results.All(float.IsFinite) ? best : throw new ArithmeticException("A bounded sum became infinite.");
    }

    private static float Multiply(float seed) =>
        Vector512.IsHardwareAccelerated ? Wide(seed) : Narrow(seed);

    // As many independent chains as hide the latency of a fused multiply-add on two units.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Wide(float seed)
    {
        var factor = Vector512.Create(0.5f);
        var addend = Vector512.Create(seed);
        Vector512<float> a = addend, b = addend, c = addend, d = addend, e = addend, f = addend;
        Vector512<float> g = addend, h = addend, i = addend, j = addend, k = addend, l = addend;
        for (int step = 0; step < Steps; step++)
        {
            a = Vector512.FusedMultiplyAdd(a, factor, addend);
            b = Vector512.FusedMultiplyAdd(b, factor, addend);
            c = Vector512.FusedMultiplyAdd(c, factor, addend);
            d = Vector512.FusedMultiplyAdd(d, factor, addend);
            e = Vector512.FusedMultiplyAdd(e, factor, addend);
            f = Vector512.FusedMultiplyAdd(f, factor, addend);
            g = Vector512.FusedMultiplyAdd(g, factor, addend);
            h = Vector512.FusedMultiplyAdd(h, factor, addend);
            i = Vector512.FusedMultiplyAdd(i, factor, addend);
            j = Vector512.FusedMultiplyAdd(j, factor, addend);
            k = Vector512.FusedMultiplyAdd(k, factor, addend);
            l = Vector512.FusedMultiplyAdd(l, factor, addend);
        }

        return Vector512.Sum(a + b + c + d + e + f + g + h + i + j + k + l);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Narrow(float seed)
    {
        var factor = new Vector<float>(0.5f);
        var addend = new Vector<float>(seed);
        Vector<float> a = addend, b = addend, c = addend, d = addend, e = addend, f = addend;
        Vector<float> g = addend, h = addend, i = addend, j = addend, k = addend, l = addend;
        for (int step = 0; step < Steps; step++)
        {
            a = Vector.FusedMultiplyAdd(a, factor, addend);
            b = Vector.FusedMultiplyAdd(b, factor, addend);
            c = Vector.FusedMultiplyAdd(c, factor, addend);
            d = Vector.FusedMultiplyAdd(d, factor, addend);
            e = Vector.FusedMultiplyAdd(e, factor, addend);
            f = Vector.FusedMultiplyAdd(f, factor, addend);
            g = Vector.FusedMultiplyAdd(g, factor, addend);
            h = Vector.FusedMultiplyAdd(h, factor, addend);
            i = Vector.FusedMultiplyAdd(i, factor, addend);
            j = Vector.FusedMultiplyAdd(j, factor, addend);
            k = Vector.FusedMultiplyAdd(k, factor, addend);
            l = Vector.FusedMultiplyAdd(l, factor, addend);
        }

        return Vector.Sum(a + b + c + d + e + f + g + h + i + j + k + l);
    }
}
