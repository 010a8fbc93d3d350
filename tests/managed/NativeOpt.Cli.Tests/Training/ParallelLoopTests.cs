using NativeOpt.Cli.Training;
using Xunit;

namespace NativeOpt.Cli.Tests.Training;

/// <summary>Loops cover every index once, whatever the threads, and report failures.</summary>
public sealed class ParallelLoopTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(7)]
    public void CoversEveryIndexOnceInFixedRanges(int threads)
    {
        var loop = new ParallelLoop { Threads = threads };
        foreach (int count in new[] { 0, 1, 9, 10, 11, 1000 })
        {
            for (int repetition = 0; repetition < 50; repetition++)
            {
                int[] visits = new int[count];
                loop.Run(count, 10, (begin, end, worker) =>
                {
                    Assert.Equal(0, begin % 10);
                    Assert.Equal(Math.Min(begin + 10, count), end);
                    Assert.InRange(worker, 0, threads - 1);
                    for (int i = begin; i < end; i++)
                    {
                        Interlocked.Increment(ref visits[i]);
                    }
                });
                Assert.All(visits, static n => Assert.Equal(1, n));
            }
        }
    }

    [Fact]
    public void FailureOfABodyReachesTheCallerAndTheNextLoopRuns()
    {
        var loop = new ParallelLoop { Threads = 3 };
        for (int repetition = 0; repetition < 20; repetition++)
        {
            Exception error = Assert.ThrowsAny<Exception>(() => loop.Run(50, 1, static (begin, _, _) =>
            {
                if (begin == 30)
                {
                    throw new FormatException("broken");
                }
            }));
            Assert.IsType<FormatException>(error.InnerException);
            int sum = 0;
            loop.Run(50, 1, (begin, _, _) => Interlocked.Add(ref sum, begin));
            Assert.Equal(1225, sum);
        }
    }

    [Fact]
    public void LoopsOfSeveralThreadsTakeTurns()
    {
        Parallel.For(0, 8, _ =>
        {
            var loop = new ParallelLoop { Threads = 3 };
            for (int repetition = 0; repetition < 100; repetition++)
            {
                int sum = 0;
                loop.Run(100, 7, (begin, end, _) =>
                {
                    for (int i = begin; i < end; i++)
                    {
                        Interlocked.Add(ref sum, i);
                    }
                });
                Assert.Equal(4950, sum);
            }
        });
    }
}
