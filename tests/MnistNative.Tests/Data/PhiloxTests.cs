namespace MnistNative.Tests.Data;

public class PhiloxTests
{
    // The known answers that come with the authors' reference implementation.
    [Theory]
    [InlineData(0u, 0u, 0u, 0u, 0ul, 0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u)]
    [InlineData(~0u, ~0u, ~0u, ~0u, ~0ul, 0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu)]
    [InlineData(
        0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u, 0x299f31d0a4093822ul, 0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u)]
    public void Matches_the_published_vectors(
        uint c0, uint c1, uint c2, uint c3, ulong key, uint x0, uint x1, uint x2, uint x3)
    {
        Philox4x32.Block block = Philox4x32.Generate(new(c0, c1, c2, c3), key);

        Assert.Equal(new Philox4x32.Block(x0, x1, x2, x3), block);
    }

    [Fact]
    public void Stream_words_are_the_blocks_of_the_documented_counter()
    {
        var random = new Philox4x32(7, RandomPurpose.Split, 0x1_0000_0002);
        uint[] words = [.. Enumerable.Range(0, 8).Select(_ => random.NextUInt32())];

        Philox4x32.Block second = Philox4x32.Generate(new(1, (uint)RandomPurpose.Split, 2, 1), 7);
        Assert.Equal([second.X0, second.X1, second.X2, second.X3], words[4..]);
    }

    [Fact]
    public void Bounded_numbers_are_even()
    {
        var random = new Philox4x32(1, RandomPurpose.Split, 0);
        int[] counts = new int[3];
        for (int i = 0; i < 30_000; i++)
        {
            counts[random.NextBelow(3)]++;
        }

        Assert.All(counts, count => Assert.InRange(count, 9_700, 10_300));

        // A bound just above half the range shows a missing rejection: the lower half would come twice as often.
        var large = new Philox4x32(2, RandomPurpose.Split, 0);
        int even = 0;
        for (int i = 0; i < 10_000; i++)
        {
            even += (int)(1 - large.NextBelow(0xC0000000) % 3 % 2);
        }

        Assert.InRange(even, 6_450, 6_880);
    }

    [Fact]
    public void Normal_numbers_have_mean_0_and_deviation_1()
    {
        var random = new Philox4x32(3, RandomPurpose.Split, 0);
        double sum = 0;
        double squares = 0;
        for (int i = 0; i < 20_000; i++)
        {
            double x = random.NextNormal();
            sum += x;
            squares += x * x;
        }

        Assert.InRange(sum / 20_000, -0.03, 0.03);
        Assert.InRange(squares / 20_000, 0.96, 1.04);
    }
}
