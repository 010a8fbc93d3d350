using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Optimizers;

public class ConcurrencyTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    /// <summary>Two threads that use one set are told so, and every step counts once or not at all.</summary>
    [Fact]
    public async Task One_set_from_two_threads_is_refused()
    {
        using Model model = new(1_000_000);
        using Adam optimizer = new(model.Set);
        int steps = 0;
        int refusals = 0;
        DateTime end = DateTime.UtcNow + Patience;
        void StepUntilRefused()
        {
            while (Volatile.Read(ref refusals) < 3 && DateTime.UtcNow < end)
            {
                try
                {
                    optimizer.Step();
                    Interlocked.Increment(ref steps);
                }
                catch (ConcurrentUseException)
                {
                    Interlocked.Increment(ref refusals);
                }
            }
        }

        Task other = Task.Factory.StartNew(
            StepUntilRefused, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        StepUntilRefused();
        await other;
        Assert.True(refusals >= 3, "the threads never met");
        Assert.Equal(steps, optimizer.StepCount);
    }

    /// <summary>Changes during another thread's steps are made between two of them, or are refused as a whole.</summary>
    [Fact]
    public async Task Changes_meet_no_step_in_the_middle()
    {
        const int Size = 20_000;
        using DeviceBuffer<float> memory = new(Device.Cpu, 4 * Size);
        nint[] at = [.. Enumerable.Range(0, 4).Select(i => memory.Pointer + (sizeof(float) * Size * i))];
        using Model model = new(Size);
        using Adam optimizer = new(model.Set);
        bool isOver = false;
        long steps = 0;
        Task stepping = Task.Factory.StartNew(
            () =>
            {
                while (!Volatile.Read(ref isOver))
                {
                    steps += Succeeds(optimizer.Step) ? 1 : 0;
                }
            },
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        int changes = 0;
        long[] counts = new long[1];
        DateTime end = DateTime.UtcNow + Patience;
        for (int round = 0; round < 300 || (changes == 0 && DateTime.UtcNow < end); round++)
        {
            DType type = round % 2 == 0 ? DType.BFloat16 : DType.Float32;
            Change(() => optimizer.BindStates(
                new Dictionary<StateRole, TensorRef[]>
                {
                    [StateRole.ExpAvg] = [TensorRef.FromPointer(at[round % 2], Size, type)],
                    [StateRole.ExpAvgSq] = [TensorRef.FromPointer(at[1 - (round % 2)], Size, type)],
                }));
            Change(() => optimizer.BindStates(
                new Dictionary<StateRole, nint[]> { [StateRole.ExpAvg] = [at[2]], [StateRole.ExpAvgSq] = [at[3]] }));
            Change(optimizer.UnbindStates);
            Change(() => model.Set.SetLearningRateScales([round]));
            Change(() => model.Set.SetWeightDecays([round]));
            Change(() => optimizer.GetStepCounts(counts));
        }

        Volatile.Write(ref isOver, true);
        await stepping;
        Assert.NotEqual(0, changes);
        Assert.Equal(steps, optimizer.StepCount);
        optimizer.BindStates(new Dictionary<StateRole, nint[]> { [StateRole.ExpAvg] = [at[2]], [StateRole.ExpAvgSq] = [at[3]] });
        optimizer.Step();
        Assert.Equal(steps + 1, optimizer.StepCount);

        void Change(Action change) => changes += Succeeds(change) ? 1 : 0;

        // A step between the two parts of a change of types finds states missing.
        static bool Succeeds(Action action) =>
            Record.Exception(action) is not { } exception
            || (exception is InvalidOperationException ? false : throw new InvalidOperationException("Another error", exception));
    }

    [Fact]
    public async Task Distinct_sets_on_distinct_threads_do_not_disturb_each_other()
    {
        string expected = Run();
        string[] results = await Task.WhenAll(
            Enumerable.Range(0, 4).Select(_ => Task.Factory.StartNew(
                Run, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default)));
        Assert.All(results, result => Assert.Equal(expected, result));

        static string Run()
        {
            using Model model = new(Model.AwkwardSizes);
            using DualAdam optimizer = new(model.Set);
            model.Step(optimizer, 1, 10);
            return Snapshot.Of(optimizer);
        }
    }

    /// <summary>What a step in another thread means for steps and for disposal, without a race that has to be met.</summary>
    [Fact]
    public async Task One_step_at_a_time_and_disposal_waits_for_it()
    {
        using Model model = new(4);
        Adam optimizer = new(model.Set);
        optimizer.Step();
        Assert.True(optimizer.Handle.TryBeginStep());
        Assert.Throws<ConcurrentUseException>(optimizer.Step);
        Task disposal = Task.Run(optimizer.Dispose);
        Assert.True(SpinWait.SpinUntil(() => optimizer.Handle.IsDisposed, Patience));
        Assert.Throws<ObjectDisposedException>(optimizer.Step);
        await Task.Delay(50); // in which it could end too early
        Assert.False(disposal.IsCompleted);

        optimizer.Handle.EndStep();
        await disposal.WaitAsync(Patience);
        Assert.False(optimizer.Handle.TryBeginStep());
        Assert.Throws<ObjectDisposedException>(optimizer.Step);
        optimizer.Dispose();
        using Sgd next = new(model.Set);
        next.Step();
    }

    /// <summary>A step that runs while the optimizer is disposed of keeps its buffers to its end.</summary>
    [Fact]
    public void Disposing_during_a_step_is_safe()
    {
        for (int round = 0; round < 20; round++)
        {
            using Model model = new(300_000);
            Adam optimizer = new(model.Set);
            optimizer.Step();
            using ManualResetEventSlim started = new();
            Exception? end = null;
            Thread other = new(() =>
            {
                started.Set();
                while (end is null)
                {
                    end = Record.Exception(optimizer.Step);
                }
            });
            other.Start();
            started.Wait();
            optimizer.Dispose();
            other.Join();
            Assert.IsType<ObjectDisposedException>(end);

            // All is let go: the set can have another optimizer.
            using Sgd next = new(model.Set);
            next.Step();
        }
    }
}
