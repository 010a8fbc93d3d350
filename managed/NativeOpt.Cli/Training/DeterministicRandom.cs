namespace NativeOpt.Cli.Training;

/// <summary>
/// A small random generator (SplitMix64) whose numbers are part of this program, unlike those of
/// <see cref="Random"/>, which a later .NET may change. The same seed gives the same run, today and next year.
/// </summary>
internal sealed class DeterministicRandom
{
    private const ulong Increment = 0x9E3779B97F4A7C15;
    private ulong _state;

    /// <summary>Starts the sequence of a seed. Different streams of one seed are unrelated sequences, one for each
    /// training step for example.</summary>
    public DeterministicRandom(ulong seed, ulong stream = 0)
    {
        _state = Mix(Mix(seed + Increment) ^ (stream * Increment));
    }

    /// <summary>64 random bits.</summary>
    public ulong NextUInt64()
    {
        _state += Increment;
        return Mix(_state);
    }

    /// <summary>An integer in [0, bound). Taking the high word of a product has a bias below bound / 2^64.</summary>
    public int NextInt32(int bound)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bound, 1);
        return (int)Math.BigMul(NextUInt64(), (ulong)bound, out _);
    }

    /// <summary>A number in [0, 1), a multiple of 2^-53.</summary>
    public double NextDouble() => (NextUInt64() >> 11) * (1.0 / (1UL << 53));

    /// <summary>A number from the standard normal distribution (Box-Muller).</summary>
    public double NextNormal()
    {
        double radius = Math.Sqrt(-2.0 * Math.Log(1.0 - NextDouble()));
        return radius * Math.Cos(2.0 * Math.PI * NextDouble());
    }

    private static ulong Mix(ulong x)
    {
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
        return x ^ (x >> 31);
    }
}
