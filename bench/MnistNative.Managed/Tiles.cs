using System.Numerics;
using System.Runtime.Intrinsics;

namespace MnistNative.Managed;

/// <summary>Eight rows of two 512-bit vectors: half of the 32 registers of AVX-512, and enough sums for its latency.</summary>
internal readonly unsafe struct WideTile : ITile
{
    public static int Rows => 8;

    public static int Columns => 2 * Vector512<float>.Count;

    public static void Run(in Product p, nint* rows, int column, float* c)
    {
        int v = Vector512<float>.Count;
        nint step = p.CStep;
        Vector512<float> c00 = Vector512<float>.Zero;
        Vector512<float> c01 = Vector512<float>.Zero;
        Vector512<float> c10 = Vector512<float>.Zero;
        Vector512<float> c11 = Vector512<float>.Zero;
        Vector512<float> c20 = Vector512<float>.Zero;
        Vector512<float> c21 = Vector512<float>.Zero;
        Vector512<float> c30 = Vector512<float>.Zero;
        Vector512<float> c31 = Vector512<float>.Zero;
        Vector512<float> c40 = Vector512<float>.Zero;
        Vector512<float> c41 = Vector512<float>.Zero;
        Vector512<float> c50 = Vector512<float>.Zero;
        Vector512<float> c51 = Vector512<float>.Zero;
        Vector512<float> c60 = Vector512<float>.Zero;
        Vector512<float> c61 = Vector512<float>.Zero;
        Vector512<float> c70 = Vector512<float>.Zero;
        Vector512<float> c71 = Vector512<float>.Zero;
        if (p.Bias != null)
        {
            c00 = Vector512.Load(p.Bias + column);
            c01 = Vector512.Load(p.Bias + column + v);
            (c10, c11) = (c00, c01);
            (c20, c21) = (c00, c01);
            (c30, c31) = (c00, c01);
            (c40, c41) = (c00, c01);
            (c50, c51) = (c00, c01);
            (c60, c61) = (c00, c01);
            (c70, c71) = (c00, c01);
        }
        else if (p.Add)
        {
            (c00, c01) = (Vector512.Load(c + (0 * step)), Vector512.Load(c + (0 * step) + v));
            (c10, c11) = (Vector512.Load(c + (1 * step)), Vector512.Load(c + (1 * step) + v));
            (c20, c21) = (Vector512.Load(c + (2 * step)), Vector512.Load(c + (2 * step) + v));
            (c30, c31) = (Vector512.Load(c + (3 * step)), Vector512.Load(c + (3 * step) + v));
            (c40, c41) = (Vector512.Load(c + (4 * step)), Vector512.Load(c + (4 * step) + v));
            (c50, c51) = (Vector512.Load(c + (5 * step)), Vector512.Load(c + (5 * step) + v));
            (c60, c61) = (Vector512.Load(c + (6 * step)), Vector512.Load(c + (6 * step) + v));
            (c70, c71) = (Vector512.Load(c + (7 * step)), Vector512.Load(c + (7 * step) + v));
        }

        nint o0 = rows[0];
        nint o1 = rows[1];
        nint o2 = rows[2];
        nint o3 = rows[3];
        nint o4 = rows[4];
        nint o5 = rows[5];
        nint o6 = rows[6];
        nint o7 = rows[7];
        for (int s = 0; s < p.Segments; s++)
        {
            float* a = p.A + (s * p.ASegment);
            float* b = p.B + (s * p.BSegment) + column;
            (nint aStep, nint bStep) = (p.AStep, p.BStep);
            for (int k = p.Length; k > 0; k--, a += aStep, b += bStep)
            {
                Vector512<float> b0 = Vector512.Load(b);
                Vector512<float> b1 = Vector512.Load(b + v);
                Vector512<float> value = Vector512.Create(a[o0]);
                c00 = Vector512.FusedMultiplyAdd(value, b0, c00);
                c01 = Vector512.FusedMultiplyAdd(value, b1, c01);
                value = Vector512.Create(a[o1]);
                c10 = Vector512.FusedMultiplyAdd(value, b0, c10);
                c11 = Vector512.FusedMultiplyAdd(value, b1, c11);
                value = Vector512.Create(a[o2]);
                c20 = Vector512.FusedMultiplyAdd(value, b0, c20);
                c21 = Vector512.FusedMultiplyAdd(value, b1, c21);
                value = Vector512.Create(a[o3]);
                c30 = Vector512.FusedMultiplyAdd(value, b0, c30);
                c31 = Vector512.FusedMultiplyAdd(value, b1, c31);
                value = Vector512.Create(a[o4]);
                c40 = Vector512.FusedMultiplyAdd(value, b0, c40);
                c41 = Vector512.FusedMultiplyAdd(value, b1, c41);
                value = Vector512.Create(a[o5]);
                c50 = Vector512.FusedMultiplyAdd(value, b0, c50);
                c51 = Vector512.FusedMultiplyAdd(value, b1, c51);
                value = Vector512.Create(a[o6]);
                c60 = Vector512.FusedMultiplyAdd(value, b0, c60);
                c61 = Vector512.FusedMultiplyAdd(value, b1, c61);
                value = Vector512.Create(a[o7]);
                c70 = Vector512.FusedMultiplyAdd(value, b0, c70);
                c71 = Vector512.FusedMultiplyAdd(value, b1, c71);
            }
        }

        if (p.Relu)
        {
            (c00, c01) = (Vector512.Max(c00, Vector512<float>.Zero), Vector512.Max(c01, Vector512<float>.Zero));
            (c10, c11) = (Vector512.Max(c10, Vector512<float>.Zero), Vector512.Max(c11, Vector512<float>.Zero));
            (c20, c21) = (Vector512.Max(c20, Vector512<float>.Zero), Vector512.Max(c21, Vector512<float>.Zero));
            (c30, c31) = (Vector512.Max(c30, Vector512<float>.Zero), Vector512.Max(c31, Vector512<float>.Zero));
            (c40, c41) = (Vector512.Max(c40, Vector512<float>.Zero), Vector512.Max(c41, Vector512<float>.Zero));
            (c50, c51) = (Vector512.Max(c50, Vector512<float>.Zero), Vector512.Max(c51, Vector512<float>.Zero));
            (c60, c61) = (Vector512.Max(c60, Vector512<float>.Zero), Vector512.Max(c61, Vector512<float>.Zero));
            (c70, c71) = (Vector512.Max(c70, Vector512<float>.Zero), Vector512.Max(c71, Vector512<float>.Zero));
        }

        c00.Store(c + (0 * step));
        c01.Store(c + (0 * step) + v);
        c10.Store(c + (1 * step));
        c11.Store(c + (1 * step) + v);
        c20.Store(c + (2 * step));
        c21.Store(c + (2 * step) + v);
        c30.Store(c + (3 * step));
        c31.Store(c + (3 * step) + v);
        c40.Store(c + (4 * step));
        c41.Store(c + (4 * step) + v);
        c50.Store(c + (5 * step));
        c51.Store(c + (5 * step) + v);
        c60.Store(c + (6 * step));
        c61.Store(c + (6 * step) + v);
        c70.Store(c + (7 * step));
        c71.Store(c + (7 * step) + v);
    }
}

/// <summary>Four rows of two vectors of whatever width: what fits the 16 registers of AVX2, and Arm.</summary>
internal readonly unsafe struct NarrowTile : ITile
{
    public static int Rows => 4;

    public static int Columns => 2 * Vector<float>.Count;

    public static void Run(in Product p, nint* rows, int column, float* c)
    {
        int v = Vector<float>.Count;
        nint step = p.CStep;
        Vector<float> c00 = Vector<float>.Zero;
        Vector<float> c01 = Vector<float>.Zero;
        Vector<float> c10 = Vector<float>.Zero;
        Vector<float> c11 = Vector<float>.Zero;
        Vector<float> c20 = Vector<float>.Zero;
        Vector<float> c21 = Vector<float>.Zero;
        Vector<float> c30 = Vector<float>.Zero;
        Vector<float> c31 = Vector<float>.Zero;
        if (p.Bias != null)
        {
            c00 = Vector.Load(p.Bias + column);
            c01 = Vector.Load(p.Bias + column + v);
            (c10, c11) = (c00, c01);
            (c20, c21) = (c00, c01);
            (c30, c31) = (c00, c01);
        }
        else if (p.Add)
        {
            (c00, c01) = (Vector.Load(c + (0 * step)), Vector.Load(c + (0 * step) + v));
            (c10, c11) = (Vector.Load(c + (1 * step)), Vector.Load(c + (1 * step) + v));
            (c20, c21) = (Vector.Load(c + (2 * step)), Vector.Load(c + (2 * step) + v));
            (c30, c31) = (Vector.Load(c + (3 * step)), Vector.Load(c + (3 * step) + v));
        }

        nint o0 = rows[0];
        nint o1 = rows[1];
        nint o2 = rows[2];
        nint o3 = rows[3];
        for (int s = 0; s < p.Segments; s++)
        {
            float* a = p.A + (s * p.ASegment);
            float* b = p.B + (s * p.BSegment) + column;
            (nint aStep, nint bStep) = (p.AStep, p.BStep);
            for (int k = p.Length; k > 0; k--, a += aStep, b += bStep)
            {
                Vector<float> b0 = Vector.Load(b);
                Vector<float> b1 = Vector.Load(b + v);
                Vector<float> value = Vector.Create(a[o0]);
                c00 = Vector.FusedMultiplyAdd(value, b0, c00);
                c01 = Vector.FusedMultiplyAdd(value, b1, c01);
                value = Vector.Create(a[o1]);
                c10 = Vector.FusedMultiplyAdd(value, b0, c10);
                c11 = Vector.FusedMultiplyAdd(value, b1, c11);
                value = Vector.Create(a[o2]);
                c20 = Vector.FusedMultiplyAdd(value, b0, c20);
                c21 = Vector.FusedMultiplyAdd(value, b1, c21);
                value = Vector.Create(a[o3]);
                c30 = Vector.FusedMultiplyAdd(value, b0, c30);
                c31 = Vector.FusedMultiplyAdd(value, b1, c31);
            }
        }

        if (p.Relu)
        {
            (c00, c01) = (Vector.Max(c00, Vector<float>.Zero), Vector.Max(c01, Vector<float>.Zero));
            (c10, c11) = (Vector.Max(c10, Vector<float>.Zero), Vector.Max(c11, Vector<float>.Zero));
            (c20, c21) = (Vector.Max(c20, Vector<float>.Zero), Vector.Max(c21, Vector<float>.Zero));
            (c30, c31) = (Vector.Max(c30, Vector<float>.Zero), Vector.Max(c31, Vector<float>.Zero));
        }

        c00.Store(c + (0 * step));
        c01.Store(c + (0 * step) + v);
        c10.Store(c + (1 * step));
        c11.Store(c + (1 * step) + v);
        c20.Store(c + (2 * step));
        c21.Store(c + (2 * step) + v);
        c30.Store(c + (3 * step));
        c31.Store(c + (3 * step) + v);
    }
}
