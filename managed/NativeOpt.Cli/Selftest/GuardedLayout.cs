namespace NativeOpt.Cli.Selftest;

/// <summary>
/// Where the tensors of one role lie in one block of memory, with canaries before, between and after them. A block's words
/// are the bits of floats.
/// </summary>
internal sealed class GuardedLayout
{
    /// <summary>A canary: -12345.679, which a step that takes it for an element would change.</summary>
    public const uint Canary = 0xC640E6B7;

    // In words. Some kernels move 16 bytes at a time, and 256 threads do so side by side.
    private const int Between = 16;
    private const int AtEnds = 1024;
    private const int Boundary = 4;

    private readonly int[] _counts;
    private readonly int[] _begins;

    /// <param name="counts">The elements of each tensor.</param>
    /// <param name="offset">How many elements after a 16-byte boundary a tensor begins, by its index.</param>
    public GuardedLayout(int[] counts, Func<int, int> offset)
    {
        _counts = counts;
        _begins = new int[counts.Length];
        int at = AtEnds;
        for (int i = 0; i < counts.Length; i++)
        {
            _begins[i] = ((at + Boundary - 1) / Boundary * Boundary) + offset(i);
            at = _begins[i] + counts[i] + Between;
        }

        Length = at + AtEnds;
        ElementCount = counts.Sum(static count => (long)count);
    }

    /// <summary>The words of the block, canaries included.</summary>
    public int Length { get; }

    public long ElementCount { get; }

    public int TensorCount => _counts.Length;

    /// <summary>The word of a tensor's element.</summary>
    public int WordOf(int tensor, int index) => _begins[tensor] + index;

    /// <summary>A tensor's words.</summary>
    public Span<uint> Tensor(Span<uint> image, int tensor) => image.Slice(_begins[tensor], _counts[tensor]);

    /// <summary>A tensor's words.</summary>
    public ReadOnlySpan<uint> Tensor(ReadOnlySpan<uint> image, int tensor) =>
        image.Slice(_begins[tensor], _counts[tensor]);

    /// <summary>What a block holds at first: canaries, and tensors of zeros.</summary>
    public uint[] NewImage()
    {
        uint[] image = new uint[Length];
        image.AsSpan().Fill(Canary);
        for (int i = 0; i < TensorCount; i++)
        {
            Tensor(image.AsSpan(), i).Clear();
        }

        return image;
    }

    /// <summary>The words outside of all tensors that are no canaries any more.</summary>
    public List<int> FindDamage(ReadOnlySpan<uint> image)
    {
        List<int> damaged = [];
        int at = 0;
        for (int i = 0; i <= TensorCount; i++)
        {
            int end = i < TensorCount ? _begins[i] : Length;
            while (image[at..end].IndexOfAnyExcept(Canary) is int next and >= 0)
            {
                damaged.Add(at + next);
                at += next + 1;
            }

            at = i < TensorCount ? end + _counts[i] : end;
        }

        return damaged;
    }

    /// <summary>
    /// The tensor that a word outside of all tensors is nearest to, and its place as an index from there: below 0, or not
    /// below the tensor's count.
    /// </summary>
    public (int? Tensor, int Index) Near(int word)
    {
        if (TensorCount == 0)
        {
            return (null, word);
        }

        int after = Array.BinarySearch(_begins, word);
        after = after < 0 ? ~after : after;
        int before = after - 1;
        bool isBefore = before < 0
            || (after < TensorCount && _begins[after] - word < word - (_begins[before] + _counts[before]) + 1);
        int tensor = isBefore ? after : before;
        return (tensor, word - _begins[tensor]);
    }
}
