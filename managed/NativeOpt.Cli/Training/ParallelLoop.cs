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
    private static readonly Lock _gate = new();
    private static readonly List<SemaphoreSlim> _helpers = [];
    private static Exception? _error;
    private static int _unfinished;

    // The loop in progress. A thread copies it, then takes a range by counting the ticket down: the low half is the
    // number of ranges left, the high half counts the loops. If that succeeds, no other loop can have begun in
    // between, so the copy is right, even if the thread slept for long before it came to look.
    private static Job _job;
    private static long _ticket;

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

        Exception? error;
        lock (_gate)
        {
            (_error, _unfinished) = (null, ranges);
            _job = new Job(body, count, grain, ranges, threads);
            long loopNumber = (_ticket >> 32) + 1;
            Volatile.Write(ref _ticket, (loopNumber << 32) | (uint)ranges);
            for (int helper = 0; helper < threads - 1; helper++)
            {
                Wake(helper);
            }

            // Only ranges that a helper has taken are waited for, never a helper: on a busy machine it may get its
            // turn when all is done.
            TakeRanges(0);
            var wait = default(SpinWait);
            while (Volatile.Read(ref _unfinished) > 0)
            {
                wait.SpinOnce(sleep1Threshold: -1);
            }

            error = _error;
            _job = default;
        }

        if (error is not null)
        {
            throw new InvalidOperationException("The body of a parallel loop failed.", error);
        }
    }

    private static void Wake(int helper)
    {
        if (helper == _helpers.Count)
        {
            StartHelper();
        }

        if (_helpers[helper].CurrentCount == 0)
        {
            _helpers[helper].Release();
        }
    }

    private static void StartHelper()
    {
        var wake = new SemaphoreSlim(0);
        _helpers.Add(wake);
        int worker = _helpers.Count;
        new Thread(() => Help(wake, worker)) { IsBackground = true, Name = "training helper" }.Start();
    }

    private static void Help(SemaphoreSlim wake, int worker)
    {
        while (true)
        {
            wake.Wait();
            TakeRanges(worker);
        }
    }

    private static void TakeRanges(int worker)
    {
        while (true)
        {
            long ticket = Volatile.Read(ref _ticket);
            Job job = _job;
            int left = (int)(uint)ticket;
            if (left == 0 || worker >= job.Threads)
            {
                return;
            }

            if (Interlocked.CompareExchange(ref _ticket, ticket - 1, ticket) != ticket)
            {
                continue;
            }

            try
            {
                int begin = (job.Ranges - left) * job.Grain;
                job.Body(begin, Math.Min(begin + job.Grain, job.Count), worker);
            }
            catch (Exception error)
            {
                // Handed to the caller: an exception that left a helper thread would end the process.
                Interlocked.CompareExchange(ref _error, error, null);
            }

            Interlocked.Decrement(ref _unfinished);
        }
    }

    private readonly record struct Job(RangeBody Body, int Count, int Grain, int Ranges, int Threads);
}
