namespace NativeOpt.Cli.Training;

/// <summary>The body of a parallel loop: does the indices from <paramref name="begin"/> up to, but without,
/// <paramref name="end"/>. <paramref name="worker"/> is below the number of threads and no two bodies that run at the
/// same time share it, so it can select scratch memory.</summary>
internal delegate void RangeBody(int begin, int end, int worker);

/// <summary>
/// Runs a loop body over fixed-size ranges on a few threads, without allocating.
/// </summary>
/// <remarks>
/// <para>Where a range begins and ends never depends on the number of threads, only who runs it does. A body that
/// computes each of its results from its own range alone therefore gives the same bits with any number of
/// threads.</para>
/// <para>The helper threads are shared by the whole process, and one loop runs at a time: two models that train side by
/// side would only fight for the same cores. Loops do not nest.</para>
/// </remarks>
internal sealed class ParallelLoop
{
    private static readonly Lock Gate = new();
    private static readonly List<SemaphoreSlim> Helpers = [];
    private static readonly CountdownEvent Running = new(1);
    private static RangeBody s_body = static (_, _, _) => { };
    private static int s_count;
    private static int s_grain;
    private static int s_nextRange;
    private static Exception? s_error;

    private int _threads = Environment.ProcessorCount;

    /// <summary>How many threads work on a loop, the calling one included.</summary>
    public int Threads
    {
        get => _threads;
        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, 1);
            _threads = value;
        }
    }

    /// <summary>Calls <paramref name="body"/> for [0, count) in ranges of <paramref name="grain"/> indices and returns
    /// when all are done.</summary>
    public void Run(int count, int grain, RangeBody body)
    {
        int ranges = (count + grain - 1) / grain;
        int threads = Math.Min(_threads, ranges);
        if (threads <= 1)
        {
            for (int begin = 0; begin < count; begin += grain)
            {
                body(begin, Math.Min(begin + grain, count), 0);
            }

            return;
        }

        lock (Gate)
        {
            while (Helpers.Count < threads - 1)
            {
                StartHelper();
            }

            (s_body, s_count, s_grain, s_nextRange, s_error) = (body, count, grain, 0, null);
            Running.Reset(threads - 1);
            for (int i = 0; i < threads - 1; i++)
            {
                Helpers[i].Release();
            }

            TakeRanges(0);
            Running.Wait();
            if (s_error is not null)
            {
                throw new InvalidOperationException("A worker thread failed.", s_error);
            }
        }
    }

    private static void StartHelper()
    {
        var wake = new SemaphoreSlim(0);
        Helpers.Add(wake);
        int worker = Helpers.Count;
        var thread = new Thread(() => Help(wake, worker)) { IsBackground = true, Name = $"training worker {worker}" };
        thread.Start();
    }

    private static void Help(SemaphoreSlim wake, int worker)
    {
        while (true)
        {
            wake.Wait();
            TakeRanges(worker);
            Running.Signal();
        }
    }

    private static void TakeRanges(int worker)
    {
        try
        {
            while (true)
            {
                int begin = (Interlocked.Increment(ref s_nextRange) - 1) * s_grain;
                if (begin >= s_count)
                {
                    return;
                }

                s_body(begin, Math.Min(begin + s_grain, s_count), worker);
            }
        }
        catch (Exception error)
        {
            // Handed to the caller: an exception that left a helper thread would end the process.
            Interlocked.CompareExchange(ref s_error, error, null);
        }
    }
}
