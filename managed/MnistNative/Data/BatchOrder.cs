namespace MnistNative;

/// <summary>
/// The order in which an epoch visits the images: either 0, 1, 2, … or a permutation that depends on (seed, epoch)
/// alone, so it is the same on every machine, whatever ran before.
/// </summary>
/// <remarks>The memory is allocated once; starting an epoch and taking a batch allocate nothing.</remarks>
internal sealed class BatchOrder
{
    private readonly int[] _order;
    private readonly ulong _seed;
    private readonly bool _shuffle;

    /// <summary>Plans epochs over <paramref name="count"/> images; the order is that of epoch 0.</summary>
    /// <param name="count">Number of images, at least 1.</param>
    /// <param name="batchSize">Images in a batch, at least 1; the last batch of an epoch may hold fewer.</param>
    /// <param name="seed">Chooses the sequence of permutations.</param>
    /// <param name="shuffle">False keeps the images in their own order.</param>
    /// <param name="mergesSingle">Whether a single image that is left over joins the batch before, instead of being one.</param>
    public BatchOrder(int count, int batchSize, ulong seed, bool shuffle = true, bool mergesSingle = false)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(batchSize, 1);
        _order = new int[count];
        _seed = seed;
        _shuffle = shuffle;
        BatchSize = batchSize;
        bool merges = mergesSingle && count > batchSize && count % batchSize == 1;
        BatchCount = merges ? count / batchSize : (int)(((long)count + batchSize - 1) / batchSize);
        LargestBatch = merges ? batchSize + 1 : batchSize;
        StartEpoch(0);
    }

    /// <summary>Number of images.</summary>
    public int Count => _order.Length;

    /// <summary>Images in every batch but perhaps the last.</summary>
    public int BatchSize { get; }

    /// <summary>Images that a batch has at most: one more than <see cref="BatchSize"/> if the last takes a single one, too.</summary>
    public int LargestBatch { get; }

    /// <summary>Batches in an epoch, a smaller last one included.</summary>
    public int BatchCount { get; }

    /// <summary>The whole order of the current epoch.</summary>
    public ReadOnlySpan<int> Order => _order;

    /// <summary>Makes the order of the given epoch (0, 1, 2, …) the current one.</summary>
    public void StartEpoch(int epoch)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(epoch);
        if (_shuffle)
        {
            Shuffle(_order, _seed, epoch);
        }
        else
        {
            FillAscending(_order);
        }
    }

    /// <summary>The image indices of batch 0 … <see cref="BatchCount"/> − 1 of the current epoch.</summary>
    public ReadOnlySpan<int> GetBatch(int batch) => GetBatchMemory(batch).Span;

    /// <summary>As <see cref="GetBatch"/>, for callers that keep it across an await; the next epoch overwrites it.</summary>
    public ReadOnlyMemory<int> GetBatchMemory(int batch)
    {
        if ((uint)batch >= (uint)BatchCount)
        {
            throw new ArgumentOutOfRangeException(
                nameof(batch), batch, $"The epoch has {BatchCount} batches, numbered from 0.");
        }

        int start = batch * BatchSize;
        return _order.AsMemory(start, batch == BatchCount - 1 ? _order.Length - start : BatchSize);
    }

    /// <summary>Fills <paramref name="order"/> with the permutation of 0 … n−1 of the given seed and epoch.</summary>
    public static void Shuffle(Span<int> order, ulong seed, int epoch)
    {
        var random = new Philox4x32(seed, RandomPurpose.Shuffle, (ulong)epoch);
        Permute(order, ref random);
    }

    /// <summary>Fills the span with a random permutation of 0 … n−1 (Fisher–Yates, from the end).</summary>
    internal static void Permute(Span<int> order, ref Philox4x32 random)
    {
        FillAscending(order);
        for (int i = order.Length - 1; i > 0; i--)
        {
            int j = (int)random.NextBelow((uint)i + 1);
            (order[i], order[j]) = (order[j], order[i]);
        }
    }

    private static void FillAscending(Span<int> order)
    {
        for (int i = 0; i < order.Length; i++)
        {
            order[i] = i;
        }
    }
}
