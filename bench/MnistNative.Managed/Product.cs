using System.Numerics;
using System.Runtime.Intrinsics;

namespace MnistNative.Managed;

/// <summary>
/// The product of matrices that all heavy layers are made of:
/// C[r][j] = start + Σ A[row(r) + s·ASegment + k·AStep] · B[s·BSegment + k·BStep + j] over s &lt; Segments and
/// k &lt; Length. A's rows lie at any offsets, so a convolution reads its patches in the image without copying them.
/// Strides and offsets count floats.
/// </summary>
internal unsafe struct Product
{
    public float* A;
    public nint AStep;
    public nint ASegment;
    public float* B;
    public nint BStep;
    public nint BSegment;
    public float* C;
    public nint CStep;
    public int Segments;
    public int Length;

    /// <summary>Where a row of C starts from, or null for zeros.</summary>
    public float* Bias;

    /// <summary>Whether C starts from its own values.</summary>
    public bool Add;

    /// <summary>Whether negative results become 0.</summary>
    public bool Relu;

    /// <summary>Columns that the tiles compute at once.</summary>
    public static int TileColumns => Vector512.IsHardwareAccelerated ? WideTile.Columns : NarrowTile.Columns;

    /// <summary>Computes a block of C.</summary>
    /// <param name="rows">Offsets of A's rows.</param>
    /// <param name="firstRow">First row of the block.</param>
    /// <param name="rowCount">Its rows.</param>
    /// <param name="firstColumn">First column of the block.</param>
    /// <param name="columnCount">Its columns.</param>
    public readonly void Run(nint* rows, int firstRow, int rowCount, int firstColumn, int columnCount)
    {
        if (Vector512.IsHardwareAccelerated)
        {
            Run<WideTile>(rows, firstRow, rowCount, firstColumn, columnCount);
        }
        else
        {
            Run<NarrowTile>(rows, firstRow, rowCount, firstColumn, columnCount);
        }
    }

    /// <summary>The same with a tile of the caller's choice.</summary>
    public readonly void Run<TTile>(nint* rows, int firstRow, int rowCount, int firstColumn, int columnCount)
        where TTile : struct, ITile
    {
        int endRow = firstRow + rowCount;
        int endColumn = firstColumn + columnCount;
        int column = firstColumn;
        for (; column + TTile.Columns <= endColumn; column += TTile.Columns)
        {
            int row = firstRow;
            for (; row + TTile.Rows <= endRow; row += TTile.Rows)
            {
                TTile.Run(in this, rows + row, column, C + (row * CStep) + column);
            }

            for (; row < endRow; row++)
            {
                Edge(rows[row], row, column, TTile.Columns);
            }
        }

        if (column < endColumn)
        {
            for (int row = firstRow; row < endRow; row++)
            {
                Edge(rows[row], row, column, endColumn - column);
            }
        }
    }

    private readonly void Edge(nint offset, int row, int column, int count)
    {
        int end = column + count;
        for (; column + (4 * Vector<float>.Count) <= end; column += 4 * Vector<float>.Count)
        {
            FourVectors(offset, row, column);
        }

        for (; column + Vector<float>.Count <= end; column += Vector<float>.Count)
        {
            float* c = C + (row * CStep) + column;
            Vector<float> sum = Start(c, column);
            for (int s = 0; s < Segments; s++)
            {
                float* a = A + offset + (s * ASegment);
                float* b = B + (s * BSegment) + column;
                for (int k = 0; k < Length; k++, a += AStep, b += BStep)
                {
                    sum = Vector.FusedMultiplyAdd(new Vector<float>(*a), Vector.Load(b), sum);
                }
            }

            (Relu ? Vector.Max(sum, Vector<float>.Zero) : sum).Store(c);
        }

        for (; column < end; column++)
        {
            float* c = C + (row * CStep) + column;
            float sum = Bias != null ? Bias[column] : Add ? *c : 0;
            for (int s = 0; s < Segments; s++)
            {
                float* a = A + offset + (s * ASegment);
                float* b = B + (s * BSegment) + column;
                for (int k = 0; k < Length; k++, a += AStep, b += BStep)
                {
                    sum += *a * *b;
                }
            }

            *c = Relu ? MathF.Max(sum, 0) : sum;
        }
    }

    private readonly void FourVectors(nint offset, int row, int column)
    {
        int v = Vector<float>.Count;
        float* c = C + (row * CStep) + column;
        Vector<float> c0 = Start(c, column);
        Vector<float> c1 = Start(c + v, column + v);
        Vector<float> c2 = Start(c + (2 * v), column + (2 * v));
        Vector<float> c3 = Start(c + (3 * v), column + (3 * v));
        for (int s = 0; s < Segments; s++)
        {
            float* a = A + offset + (s * ASegment);
            float* b = B + (s * BSegment) + column;
            for (int k = 0; k < Length; k++, a += AStep, b += BStep)
            {
                var value = new Vector<float>(*a);
                c0 = Vector.FusedMultiplyAdd(value, Vector.Load(b), c0);
                c1 = Vector.FusedMultiplyAdd(value, Vector.Load(b + v), c1);
                c2 = Vector.FusedMultiplyAdd(value, Vector.Load(b + (2 * v)), c2);
                c3 = Vector.FusedMultiplyAdd(value, Vector.Load(b + (3 * v)), c3);
            }
        }

        (Relu ? Vector.Max(c0, Vector<float>.Zero) : c0).Store(c);
        (Relu ? Vector.Max(c1, Vector<float>.Zero) : c1).Store(c + v);
        (Relu ? Vector.Max(c2, Vector<float>.Zero) : c2).Store(c + (2 * v));
        (Relu ? Vector.Max(c3, Vector<float>.Zero) : c3).Store(c + (3 * v));
    }

    private readonly Vector<float> Start(float* c, int column) =>
        Bias != null ? Vector.Load(Bias + column) : Add ? Vector.Load(c) : Vector<float>.Zero;
}

/// <summary>A block of C that is kept in registers while A and B pass by.</summary>
internal unsafe interface ITile
{
    static abstract int Rows { get; }

    static abstract int Columns { get; }

    /// <summary>Computes the block at a column, whose first value is at an address.</summary>
    static abstract void Run(in Product p, nint* rows, int column, float* c);
}
