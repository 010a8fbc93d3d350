using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Selftest;

/// <summary>How many tensors a model has, and of what sizes.</summary>
/// <param name="Name">What the command line calls it.</param>
/// <param name="Counts">The elements of each tensor, quick or not.</param>
internal sealed record SelftestShape(string Name, Func<bool, DeterministicRandom, int[]> Counts)
{
    // Around 16 bytes, the leaves (512) and chunks (16384) of the sums, and 16 bits; empty ones first, in the middle, last.
    private static readonly int[] _awkward =
        [0, 1, 3, 5, 55, 511, 513, 4097, 0, 16384, 16385, 40003, 65535, 65537, 100003, 7, 0];

    private static readonly int[] _awkwardQuick = [0, 1, 3, 5, 55, 511, 513, 0, 16385, 7, 0];

    public static SelftestShape Awkward { get; } = Fixed("awkward", _awkward, _awkwardQuick);

    public static SelftestShape Random { get; } = new(
        "random", static (isQuick, random) => isQuick ? Draw(random, 12, 2000) : Draw(random, 40, 60_000));

    public static SelftestShape Scalars { get; } = Fixed("scalars", Many(21_000, 1), Many(150, 1));

    public static SelftestShape Small { get; } = Fixed("small", Many(10_000, 64), Many(60, 64));

    public static SelftestShape Large { get; } = Fixed("large", [2_000_003], [17_001]);

    public static SelftestShape Empty { get; } = Fixed("empty", [0, 0, 0], []);

    public static IReadOnlyList<SelftestShape> All { get; } = [Awkward, Random, Scalars, Small, Large, Empty];

    private static SelftestShape Fixed(string name, int[] counts, int[] quick) =>
        new(name, (isQuick, _) => isQuick ? quick : counts);

    private static int[] Many(int tensors, int count) => [.. Enumerable.Repeat(count, tensors)];

    // As many small ones as large ones.
    private static int[] Draw(DeterministicRandom random, int maxTensors, int maxCount) =>
    [
        .. Enumerable.Range(0, 1 + random.NextInt32(maxTensors))
            .Select(_ => (int)Math.Pow(maxCount, random.NextDouble()) - random.NextInt32(2)),
    ];
}
