namespace MnistNative.Tests.Data;

public class BatchOrderTests
{
    [Fact]
    public void Order_is_a_permutation_that_depends_on_seed_and_epoch()
    {
        int[] Order(ulong seed, int epoch)
        {
            int[] order = new int[1000];
            BatchOrder.Shuffle(order, seed, epoch);
            return order;
        }

        Assert.Equal(Enumerable.Range(0, 1000), Order(1, 0).Order());
        Assert.Equal(Order(1, 3), Order(1, 3));
        Assert.NotEqual(Order(1, 0), Order(1, 1));
        Assert.NotEqual(Order(1, 0), Order(2, 0));
    }

    // Fixed numbers: a change here changes every training run of every user.
    [Fact]
    public void Order_never_changes_between_versions()
    {
        int[] order = new int[10];
        BatchOrder.Shuffle(order, 42, 1);

        Assert.Equal([5, 0, 7, 4, 2, 9, 6, 3, 1, 8], order);
    }

    [Fact]
    public void Every_image_comes_to_every_place_equally_often()
    {
        int[,] counts = new int[4, 4];
        int[] order = new int[4];
        for (int epoch = 0; epoch < 4000; epoch++)
        {
            BatchOrder.Shuffle(order, 5, epoch);
            for (int place = 0; place < 4; place++)
            {
                counts[order[place], place]++;
            }
        }

        foreach (int count in counts)
        {
            Assert.InRange(count, 880, 1120);
        }
    }

    [Fact]
    public void Batches_cover_the_epoch_and_the_last_may_be_smaller()
    {
        var order = new BatchOrder(10, 4, seed: 1);

        Assert.Equal(3, order.BatchCount);
        int[][] batches = [.. Enumerable.Range(0, 3).Select(i => order.GetBatch(i).ToArray())];
        Assert.Equal([4, 4, 2], batches.Select(batch => batch.Length));
        Assert.Equal(order.Order.ToArray(), batches.SelectMany(batch => batch));
        Assert.Throws<ArgumentOutOfRangeException>(() => order.GetBatch(3).Length);
    }

    [Fact]
    public void Without_shuffling_images_keep_their_order()
    {
        var order = new BatchOrder(5, 2, seed: 1, shuffle: false);
        order.StartEpoch(3);

        Assert.Equal([0, 1, 2, 3, 4], order.Order.ToArray());
    }

    [Fact]
    public void Starting_an_epoch_and_taking_batches_allocates_nothing()
    {
        var order = new BatchOrder(1000, 64, seed: 1);
        int sum = 0;
        void Epoch(int epoch)
        {
            order.StartEpoch(epoch);
            for (int i = 0; i < order.BatchCount; i++)
            {
                sum += order.GetBatch(i)[0];
            }
        }

        Epoch(1);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Epoch(2);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
        Assert.NotEqual(0, sum);
    }
}
