using NativeOpt.Cli.Training;
using Xunit;

namespace NativeOpt.Cli.Tests.Training;

/// <summary>The generator's numbers are fixed for good, and they are random enough.</summary>
public sealed class DeterministicRandomTests
{
    [Fact]
    public void NumbersArePartOfTheContract()
    {
        var random = new DeterministicRandom(42, 7);
        ulong[] actual = [random.NextUInt64(), random.NextUInt64(), random.NextUInt64()];

        // From an implementation of the same definition in Python.
        Assert.Equal([483231565967908813UL, 16482985722323447685UL, 7733052717490198424UL], actual);
    }

    [Fact]
    public void MomentsAreRight()
    {
        var random = new DeterministicRandom(1);
        const int Count = 200_000;
        double sum = 0, squares = 0, fourth = 0, uniform = 0;
        for (int i = 0; i < Count; i++)
        {
            double x = random.NextNormal();
            sum += x;
            squares += x * x;
            fourth += x * x * x * x;
            double u = random.NextDouble();
            Assert.InRange(u, 0, Math.BitDecrement(1.0));
            uniform += u;
        }

        Assert.Equal(0, sum / Count, 0.01);
        Assert.Equal(1, squares / Count, 0.02);
        Assert.Equal(3, fourth / Count, 0.1);
        Assert.Equal(0.5, uniform / Count, 0.005);
    }

    [Fact]
    public void IntegersAreEvenlySpread()
    {
        var random = new DeterministicRandom(1);
        int[] counts = new int[7];
        for (int i = 0; i < 70_000; i++)
        {
            counts[random.NextInt32(7)]++;
        }

        Assert.All(counts, static count => Assert.InRange(count, 9_600, 10_400));
        Assert.Throws<ArgumentOutOfRangeException>(() => random.NextInt32(0));
    }

    [Fact]
    public void SeedsAndStreamsDiffer()
    {
        var first = new HashSet<ulong>();
        for (ulong seed = 0; seed < 100; seed++)
        {
            for (ulong stream = 0; stream < 100; stream++)
            {
                Assert.True(first.Add(new DeterministicRandom(seed, stream).NextUInt64()));
            }
        }
    }
}
