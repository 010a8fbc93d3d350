using System.Globalization;

namespace NativeOpt.Cli.Selftest;

/// <summary>Where and when a number was not what it should be.</summary>
/// <param name="On">The setting that had it.</param>
/// <param name="Step">The step, from 1; 0 before the first.</param>
/// <param name="After">The call after which it was seen.</param>
/// <param name="What">The role, or the scalar's name.</param>
/// <param name="Tensor">The tensor (or the dimer's scope); null if there is none.</param>
/// <param name="Index">The element. A canary's is below 0 or not below the tensor's count. Null for a scalar.</param>
/// <param name="IsCanary">Whether it lies outside of all tensors.</param>
/// <param name="Expected">The number that should be there.</param>
/// <param name="ExpectedBits">Its bits.</param>
/// <param name="Actual">The number that is there.</param>
/// <param name="ActualBits">Its bits.</param>
internal sealed record Difference(
    string On,
    int Step,
    string After,
    string What,
    int? Tensor,
    int? Index,
    bool IsCanary,
    double Expected,
    string ExpectedBits,
    double Actual,
    string ActualBits)
{
    public override string ToString()
    {
        string place = (Tensor is null ? "" : Index is null ? $" of scope {Tensor}" : $" of tensor {Tensor}")
            + (Index is null ? "" : $" at {Index}") + (IsCanary ? " (a canary)" : "");
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{On}, step {Step}, after {After}: {What}{place} is {Actual} ({ActualBits}), not {Expected} ({ExpectedBits})");
    }
}

/// <summary>Compares the bits of a case's numbers, counts, and keeps the first differences.</summary>
internal sealed class Comparison
{
    /// <summary>The differences that are kept, and as many canaries.</summary>
    public const int Kept = 4;

    private readonly List<Difference> _differences = [];
    private readonly List<Difference> _damage = [];

    /// <summary>Elements of all roles, each time that they were compared.</summary>
    public long Compared { get; private set; }

    /// <summary>Elements and scalars that differ.</summary>
    public long Different { get; private set; }

    /// <summary>Canaries that were overwritten, each time that it was seen.</summary>
    public long DamagedCanaries { get; private set; }

    /// <summary>The first of both.</summary>
    public IReadOnlyList<Difference> Differences => [.. _damage, .. _differences];

    /// <summary>What is reported of the next differences.</summary>
    public (string On, int Step, string After) Place { get; set; }

    /// <summary>Compares a block with another one, canaries included.</summary>
    public void Block(string name, GuardedLayout layout, ReadOnlySpan<uint> expected, ReadOnlySpan<uint> actual)
    {
        Compared += layout.ElementCount;
        if (expected.SequenceEqual(actual))
        {
            return;
        }

        Canaries(name, layout, actual);
        for (int tensor = 0; tensor < layout.TensorCount; tensor++)
        {
            ReadOnlySpan<uint> e = layout.Tensor(expected, tensor);
            ReadOnlySpan<uint> a = layout.Tensor(actual, tensor);
            for (int i = e.CommonPrefixLength(a); i < e.Length; i++)
            {
                if (e[i] != a[i] && !(IsNaN(e[i]) && IsNaN(a[i])))
                {
                    Different++;
                    Keep(name, tensor, i, false, e[i], a[i]);
                }
            }
        }
    }

    /// <summary>Looks for canaries that were overwritten.</summary>
    public void Canaries(string name, GuardedLayout layout, ReadOnlySpan<uint> actual)
    {
        foreach (int word in layout.FindDamage(actual))
        {
            DamagedCanaries++;
            (int? tensor, int index) = layout.Near(word);
            Keep(name, tensor, index, true, GuardedLayout.Canary, actual[word]);
        }
    }

    /// <summary>Compares a scalar of a scope, or of all.</summary>
    public void Scalar(string name, int? scope, double expected, double actual)
    {
        ulong e = BitConverter.DoubleToUInt64Bits(expected);
        ulong a = BitConverter.DoubleToUInt64Bits(actual);
        if (e != a && !(double.IsNaN(expected) && double.IsNaN(actual)))
        {
            Different++;
            Keep(name, scope, null, false, expected, $"0x{e:x16}", actual, $"0x{a:x16}");
        }
    }

    private static bool IsNaN(uint bits) => float.IsNaN(BitConverter.UInt32BitsToSingle(bits));

    private void Keep(string name, int? tensor, int index, bool isCanary, uint expected, uint actual)
    {
        if ((isCanary ? _damage : _differences).Count < Kept)
        {
            Keep(name, tensor, index, isCanary, Value(expected), $"0x{expected:x8}", Value(actual), $"0x{actual:x8}");
        }

        // The shortest decimal number of a float, not the long one of the same double.
        static double Value(uint bits) => double.Parse(
            BitConverter.UInt32BitsToSingle(bits).ToString("R", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
    }

    private void Keep(
        string name, int? tensor, int? index, bool isCanary, double expected, string expectedBits, double actual,
        string actualBits)
    {
        List<Difference> kept = isCanary ? _damage : _differences;
        if (kept.Count < Kept)
        {
            kept.Add(new Difference(
                Place.On, Place.Step, Place.After, name, tensor, index, isCanary, expected, expectedBits, actual,
                actualBits));
        }
    }
}
