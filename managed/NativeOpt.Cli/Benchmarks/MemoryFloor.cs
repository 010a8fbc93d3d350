using System.Diagnostics;
using System.Numerics;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Benchmarks;

/// <summary>How the floor goes over memory.</summary>
/// <param name="Name">What results call it.</param>
/// <param name="BlockElements">The elements of one stream before the next stream's turn.</param>
/// <param name="NonTemporal">Whether stores of what was not read pass the caches by. After a read that is slower.</param>
internal sealed record FloorForm(string Name, int BlockElements, bool NonTemporal)
{
    /// <summary>Those that a row tries, to be measured beside the fastest of them.</summary>
    public static IReadOnlyList<FloorForm> All { get; } =
    [
        new("woven", 128, false),
        new("blocks", 1 << 14, false),
        new("non-temporal", 1 << 14, true),
    ];
}

/// <summary>
/// The floor on the CPU: reads and writes the streams of a step and computes nothing, on as many threads, which are kept
/// from turn to turn. It writes what it has read, so that it can run on the very buffers of the step.
/// </summary>
internal sealed unsafe class MemoryFloor : IContender
{
    // As NativeOpt's: a thread's share at a time.
    private const int RangeElements = 1 << 14;

    private readonly ParallelLoop _loop;
    private readonly Stream[][] _passes;
    private readonly RangeBody[] _bodies;
    private readonly long _elements;

    private readonly byte _change;
    private Vector<byte> _sum;

    /// <param name="row">The row.</param>
    /// <param name="buffers">Its buffers.</param>
    /// <param name="form">How it goes over them at first.</param>
    /// <param name="change">
    /// What is xored into each byte that is written. 0 leaves all as it was; but the compiler does not know that it is, and
    /// cannot leave out the store of what was just read.
    /// </param>
    public MemoryFloor(BenchCase row, BenchBuffers buffers, FloorForm? form = null, byte change = 0)
    {
        Form = form ?? FloorForm.All[0];
        _loop = new ParallelLoop { Threads = row.Threads };
        _elements = buffers.ElementCount;
        _change = change;
        _passes =
        [
            .. row.Traffic.Passes.Select(pass => pass.Select(stream => new Stream(
                (byte*)buffers.OfFloor(stream), stream.Bytes, stream.Reads, stream.Writes)).ToArray()),
        ];
        _bodies = [.. _passes.Select(pass => (RangeBody)((begin, end, _) => MoveRanges(pass, begin, end)))];
    }

    public string Name => "floor";

    public FloorForm Form { get; set; }

    /// <summary>Tries all forms and keeps the fastest.</summary>
    /// <param name="repetitions">Of each try, of which there are three.</param>
    public void ChooseForm(int repetitions)
    {
        const int Tries = 3;
        Form = FloorForm.All.MinBy(form =>
        {
            Form = form;
            Run(1);
            return Enumerable.Range(0, Tries).Min(_ => Run(repetitions));
        })!;
    }

    public double Run(int repetitions)
    {
        int ranges = (int)((_elements + RangeElements - 1) / RangeElements);
        long begin = Stopwatch.GetTimestamp();
        for (int i = 0; i < repetitions; i++)
        {
            foreach (RangeBody body in _bodies)
            {
                _loop.Run(ranges, 1, body);
            }
        }

        return Stopwatch.GetElapsedTime(begin).TotalSeconds;
    }

    private void MoveRanges(Stream[] pass, int begin, int end)
    {
        long last = Math.Min((long)end * RangeElements, _elements);
        FloorForm form = Form;
        Vector<byte> change = new(_change);
        Vector<byte> sum = default;
        for (long from = (long)begin * RangeElements; from < last; from += form.BlockElements)
        {
            long to = Math.Min(from + form.BlockElements, last);
            foreach (ref readonly Stream stream in pass.AsSpan())
            {
                byte* at = stream.At(from);
                nint bytes = (nint)(stream.At(to) - at);
                if (!stream.Writes)
                {
                    sum |= Read(at, bytes);
                }
                else if (stream.Reads)
                {
                    Modify(at, bytes, change);
                }
                else
                {
                    Write(at, bytes, change, form.NonTemporal);
                }
            }
        }

        _sum = sum; // used, so that the reads are not left out
    }

    private static Vector<byte> Read(byte* at, nint bytes)
    {
        Vector<byte> a = default, b = default, c = default, d = default;
        nint i = 0;
        for (; i <= bytes - (4 * Vector<byte>.Count); i += 4 * Vector<byte>.Count)
        {
            a |= Vector.Load(at + i);
            b |= Vector.Load(at + i + Vector<byte>.Count);
            c |= Vector.Load(at + i + (2 * Vector<byte>.Count));
            d |= Vector.Load(at + i + (3 * Vector<byte>.Count));
        }

        for (; i < bytes; i++)
        {
            a |= new Vector<byte>(at[i]);
        }

        return a | b | c | d;
    }

    private static void Modify(byte* at, nint bytes, Vector<byte> change)
    {
        nint i = 0;
        for (; i <= bytes - (2 * Vector<byte>.Count); i += 2 * Vector<byte>.Count)
        {
            Vector<byte> a = Vector.Load(at + i) ^ change;
            Vector<byte> b = Vector.Load(at + i + Vector<byte>.Count) ^ change;
            a.Store(at + i);
            b.Store(at + i + Vector<byte>.Count);
        }

        for (; i < bytes; i++)
        {
            at[i] ^= change[0];
        }
    }

    private static void Write(byte* at, nint bytes, Vector<byte> value, bool nonTemporal)
    {
        nint i = 0;
        if (nonTemporal && (nuint)at % (nuint)Vector<byte>.Count == 0)
        {
            for (; i <= bytes - Vector<byte>.Count; i += Vector<byte>.Count)
            {
                value.StoreAlignedNonTemporal(at + i);
            }
        }

        for (; i <= bytes - Vector<byte>.Count; i += Vector<byte>.Count)
        {
            value.Store(at + i);
        }

        for (; i < bytes; i++)
        {
            at[i] = value[0];
        }
    }

    private readonly struct Stream(byte* memory, double bytes, bool reads, bool writes)
    {
        public bool Reads => reads;

        public bool Writes => writes;

        /// <summary>Where the tensors' elements, taken together, are: without the gaps between small ones.</summary>
        public byte* At(long element) => memory + (long)(element * bytes);
    }
}
