using System.Globalization;
using System.Runtime.InteropServices;
using NativeOpt.Cli.Optimizers;

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
    public void Block(string name, GuardedLayout layout, ReadOnlySpan<byte> expected, ReadOnlySpan<byte> actual)
    {
        Compared += layout.ElementCount;
        if (expected.SequenceEqual(actual))
        {
            return;
        }

        Canaries(name, layout, actual);
        for (int tensor = 0; tensor < layout.TensorCount; tensor++)
        {
            Tensor(name, layout, tensor, expected, actual);
        }
    }

    /// <summary>Compares a tensor of a block.</summary>
    public void Tensor(string name, GuardedLayout layout, int tensor, ReadOnlySpan<byte> expected, ReadOnlySpan<byte> actual)
    {
        ReadOnlySpan<byte> e = layout.Tensor(expected, tensor);
        ReadOnlySpan<byte> a = layout.Tensor(actual, tensor);
        if (layout.TypeOf(tensor) is not DType type)
        {
            return;
        }

        LibraryType library = LibraryTypes.Get(type);
        switch (library)
        {
            case { BlockElements: > 1 }:
                Blocks(name, tensor, library, e, a);
                break;
            case { ElementBytes: sizeof(float) }:
                Words(name, tensor, MemoryMarshal.Cast<byte, uint>(e), MemoryMarshal.Cast<byte, uint>(a));
                break;
            case { ElementBytes: sizeof(ushort) }:
                Words16(name, tensor, type, MemoryMarshal.Cast<byte, ushort>(e), MemoryMarshal.Cast<byte, ushort>(a));
                break;
            default:
                throw new SelftestFault($"The selftest does not know how to compare elements of {type}.");
        }
    }

    /// <summary>Looks for canaries that were overwritten.</summary>
    public void Canaries(string name, GuardedLayout layout, ReadOnlySpan<byte> actual)
    {
        foreach (Damage damage in layout.FindDamage(actual))
        {
            DamagedCanaries++;
            (double e, string expectedBits) = Read(GuardedLayout.CanaryAt(damage.Begin, damage.Size));
            (double a, string actualBits) = Read(actual.Slice(damage.Begin, damage.Size));
            Keep(name, damage.Tensor, damage.Index, true, e, expectedBits, a, actualBits);
        }

        // A float, or the bits of a shorter element as a whole number.
        static (double Value, string Bits) Read(ReadOnlySpan<byte> bytes) => bytes.Length switch
        {
            sizeof(float) => (Shown(MemoryMarshal.Read<float>(bytes)), $"0x{MemoryMarshal.Read<uint>(bytes):x8}"),
            sizeof(ushort) => (MemoryMarshal.Read<ushort>(bytes), $"0x{MemoryMarshal.Read<ushort>(bytes):x4}"),
            _ => (bytes[0], $"0x{bytes[0]:x2}"),
        };
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

    private void Words(string name, int tensor, ReadOnlySpan<uint> expected, ReadOnlySpan<uint> actual)
    {
        for (int i = expected.CommonPrefixLength(actual); i < expected.Length; i++)
        {
            Word(name, tensor, i, expected[i], actual[i]);
        }
    }

    private void Word(string name, int tensor, int index, uint expected, uint actual)
    {
        (float e, float a) = (BitConverter.UInt32BitsToSingle(expected), BitConverter.UInt32BitsToSingle(actual));
        if (expected != actual && !(float.IsNaN(e) && float.IsNaN(a)))
        {
            Different++;
            Keep(name, tensor, index, false, Shown(e), $"0x{expected:x8}", Shown(a), $"0x{actual:x8}");
        }
    }

    private void Words16(string name, int tensor, DType type, ReadOnlySpan<ushort> expected, ReadOnlySpan<ushort> actual)
    {
        for (int i = expected.CommonPrefixLength(actual); i < expected.Length; i++)
        {
            (float e, float a) = (Value(expected[i]), Value(actual[i]));
            if (expected[i] != actual[i] && !(float.IsNaN(e) && float.IsNaN(a)))
            {
                Different++;
                Keep(name, tensor, i, false, Shown(e), $"0x{expected[i]:x4}", Shown(a), $"0x{actual[i]:x4}");
            }
        }

        float Value(ushort bits) => type switch
        {
            DType.BFloat16 => BitConverter.UInt32BitsToSingle((uint)bits << 16),
            DType.Float16 => (float)BitConverter.UInt16BitsToHalf(bits),
            DType.UInt16 => bits,
            _ => throw new SelftestFault($"The selftest does not know the numbers of {type}."),
        };
    }

    // Scales are named by the first element of their block, elements by the byte that stands for them.
    private void Blocks(string name, int tensor, LibraryType type, ReadOnlySpan<byte> expected, ReadOnlySpan<byte> actual)
    {
        int blockBytes = type.BlockExtraBytes + type.BlockElements;
        for (int block = 0; block * blockBytes < expected.Length; block++)
        {
            ReadOnlySpan<byte> e = expected[(block * blockBytes)..Math.Min((block + 1) * blockBytes, expected.Length)];
            ReadOnlySpan<byte> a = actual.Slice(block * blockBytes, e.Length);
            int same = e.CommonPrefixLength(a);
            if (same < sizeof(float))
            {
                Word($"{name} (scale)", tensor, block * type.BlockElements, MemoryMarshal.Read<uint>(e), MemoryMarshal.Read<uint>(a));
            }

            for (int i = Math.Max(same, sizeof(float)); i < e.Length; i++)
            {
                if (e[i] != a[i])
                {
                    Different++;
                    Keep(
                        $"{name} (code)", tensor, (block * type.BlockElements) + i - sizeof(float), false, e[i], $"0x{e[i]:x2}", a[i],
                        $"0x{a[i]:x2}");
                }
            }
        }
    }

    // The shortest decimal number of a float, not the long one of the same double.
    private static double Shown(float value) =>
        double.Parse(value.ToString("R", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);

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
