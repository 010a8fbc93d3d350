using System.Runtime.InteropServices;
using NativeOpt.Cli.Optimizers;

namespace NativeOpt.Cli.Selftest;

/// <summary>A part of a canary that was overwritten, of the size of an element of the tensor that is nearest to it.</summary>
/// <param name="Tensor">The tensor; null if there is none.</param>
/// <param name="Index">The place as an index from there: below 0, or not below the tensor's count.</param>
/// <param name="Begin">The first byte in the block.</param>
/// <param name="Size">The number of bytes.</param>
internal readonly record struct Damage(int? Tensor, int Index, int Begin, int Size);

/// <summary>
/// Where the tensors of one role lie in one block of memory, with canaries before, between and after them: the bits of
/// -12345.679 again and again, which a step that takes them for elements would change.
/// </summary>
internal sealed class GuardedLayout
{
    /// <summary>The bits at each multiple of 4 bytes.</summary>
    public const uint Canary = 0xC640E6B7;

    // These are in bytes. Some kernels move 16 bytes at a time, and 256 threads do so side by side.
    private const int Between = 64;
    private const int AtEnds = 4096;
    private const int Boundary = 16;

    // The pattern is, from any byte on, as long as any piece that is looked at.
    private static readonly byte[] Pattern = NewPattern(AtEnds + sizeof(uint));

    private readonly int[] _counts;
    private readonly DType?[] _types;
    private readonly int[] _begins;
    private readonly int[] _ends;

    /// <param name="counts">The elements of each tensor.</param>
    /// <param name="offset">
    /// How many elements after a 16-byte boundary a tensor begins, by its index; of Dynamic8 how many scales.
    /// </param>
    /// <param name="typeOf">The element type of a tensor, by its index; null: it has no buffer. Left out: all float32.</param>
    public GuardedLayout(int[] counts, Func<int, int> offset, Func<int, DType?>? typeOf = null)
    {
        _types = [.. counts.Select((_, tensor) => typeOf is null ? DType.Float32 : typeOf(tensor))];
        _counts = [.. counts.Zip(_types, static (count, type) => type is null ? 0 : count)];
        _begins = new int[counts.Length];
        _ends = new int[counts.Length];
        int at = AtEnds;
        for (int i = 0; i < counts.Length; i++)
        {
            int alignment = LibraryTypes.Get(_types[i] ?? DType.Float32).Alignment;
            _begins[i] = ((at + Boundary - 1) / Boundary * Boundary) + (alignment * offset(i));
            _ends[i] = _begins[i] + (int)(_types[i] ?? DType.Float32).ByteCount(_counts[i]);
            at = _ends[i] + Between;
        }

        Length = (at + AtEnds + sizeof(uint) - 1) / sizeof(uint) * sizeof(uint);
        ElementCount = _counts.Sum(static count => (long)count);
    }

    /// <summary>The bytes of the block, canaries included; a multiple of 4.</summary>
    public int Length { get; }

    public long ElementCount { get; }

    public int TensorCount => _counts.Length;

    /// <summary>A tensor's elements; 0 if it has no buffer.</summary>
    public int CountOf(int tensor) => _counts[tensor];

    /// <summary>A tensor's element type; null if it has no buffer.</summary>
    public DType? TypeOf(int tensor) => _types[tensor];

    /// <summary>The byte of a tensor's element, or of a canary as an index from there; of Dynamic8 that of any byte.</summary>
    public int ByteOf(int tensor, int index) => _begins[tensor] + (index * SizeOf(tensor));

    /// <summary>A tensor's bytes.</summary>
    public Span<byte> Tensor(Span<byte> image, int tensor) => image[_begins[tensor].._ends[tensor]];

    /// <summary>A tensor's bytes.</summary>
    public ReadOnlySpan<byte> Tensor(ReadOnlySpan<byte> image, int tensor) => image[_begins[tensor].._ends[tensor]];

    /// <summary>What a block holds at first: canaries, and tensors of zeros.</summary>
    public byte[] NewImage()
    {
        byte[] image = NewPattern(Length);
        for (int i = 0; i < TensorCount; i++)
        {
            Tensor(image.AsSpan(), i).Clear();
        }

        return image;
    }

    /// <summary>The bytes that should be somewhere outside of the tensors.</summary>
    public static ReadOnlySpan<byte> CanaryAt(int begin, int size) => Pattern.AsSpan(begin % sizeof(uint), size);

    /// <summary>What lies outside of all tensors and is no canary any more.</summary>
    public List<Damage> FindDamage(ReadOnlySpan<byte> image)
    {
        List<Damage> damaged = [];
        int at = 0;
        for (int i = 0; i <= TensorCount; i++)
        {
            int end = i < TensorCount ? _begins[i] : Length;
            while (at < end)
            {
                ReadOnlySpan<byte> piece = image[at..Math.Min(end, at + AtEnds)];
                int same = piece.CommonPrefixLength(CanaryAt(at, piece.Length));
                at += same;
                if (same < piece.Length)
                {
                    damaged.Add(Near(at));
                    at = damaged[^1].Begin + damaged[^1].Size;
                }
            }

            at = i < TensorCount ? _ends[i] : end;
        }

        return damaged;
    }

    /// <summary>What a byte outside of all tensors belongs to, from the view of the tensor nearest to it.</summary>
    public Damage Near(int place)
    {
        if (TensorCount == 0)
        {
            return new Damage(null, place / sizeof(uint), place / sizeof(uint) * sizeof(uint), sizeof(uint));
        }

        int after = Array.BinarySearch(_begins, place);
        after = after < 0 ? ~after : after;
        int before = after - 1;
        bool isBefore = before < 0 || (after < TensorCount && _begins[after] - place <= place - _ends[before]);
        int tensor = isBefore ? after : before;
        int size = SizeOf(tensor);
        int origin = isBefore ? _begins[tensor] : _ends[tensor];
        int distance = (int)Math.Floor((place - origin) / (double)size);
        return new Damage(tensor, (isBefore ? 0 : _counts[tensor]) + distance, origin + (distance * size), size);
    }

    private static byte[] NewPattern(int length)
    {
        byte[] pattern = new byte[(length + sizeof(uint) - 1) / sizeof(uint) * sizeof(uint)];
        MemoryMarshal.Cast<byte, uint>(pattern.AsSpan()).Fill(Canary);
        return pattern;
    }

    // The bytes of an element; of Dynamic8 the bytes are counted one by one.
    private int SizeOf(int tensor) => LibraryTypes.Get(_types[tensor] ?? DType.Float32).ElementBytes;
}
