using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Dimer;

public class DimerConcurrencyTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    /// <summary>Two threads that use one dimer are told so, and every step counts once or not at all.</summary>
    [Fact]
    public async Task One_dimer_from_two_threads_is_refused()
    {
        using Model model = new(500_000);
        using Adam optimizer = new(model.Set);

        // No step needs an update any more: each is one call.
        using DimerOptimizer dimer = new(optimizer, new DimerOptions { Interval = int.MaxValue, Displacement = 0.1 });
        dimer.Step(() => 1);
        int steps = 1;
        int refusals = 0;
        DateTime end = DateTime.UtcNow + Patience;
        void StepUntilRefused()
        {
            while (Volatile.Read(ref refusals) < 3 && DateTime.UtcNow < end)
            {
                try
                {
                    dimer.Step();
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
        Assert.Equal((steps, steps), (optimizer.StepCount, dimer.StepCount));
        Assert.Equal(steps + 1, dimer.GradientEvaluations);
    }

    /// <summary>The optimizer and its dimer are one set: they exclude each other too.</summary>
    [Fact]
    public async Task A_dimer_and_its_optimizer_on_two_threads_are_refused()
    {
        using Model model = new(500_000);
        using Adam optimizer = new(model.Set);
        using DimerOptimizer dimer = new(optimizer, new DimerOptions { Interval = int.MaxValue, Displacement = 0.1 });
        dimer.Step(() => 1);
        int steps = 1;
        int refusals = 0;
        DateTime end = DateTime.UtcNow + Patience;
        void UntilRefused(Action step)
        {
            while (Volatile.Read(ref refusals) < 3 && DateTime.UtcNow < end)
            {
                try
                {
                    step();
                    Interlocked.Increment(ref steps);
                }
                catch (ConcurrentUseException)
                {
                    Interlocked.Increment(ref refusals);
                }
            }
        }

        Task other = Task.Factory.StartNew(
            () => UntilRefused(optimizer.Step), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        UntilRefused(dimer.Step);
        await other;
        Assert.True(refusals >= 3, "the threads never met");
        Assert.Equal(steps, optimizer.StepCount);
    }

    /// <summary>
    /// Updates take several calls, between which another thread may come. Each of its calls is refused or is one of the
    /// updates; none may end the process, lose the parameters or leave them displaced.
    /// </summary>
    [Fact]
    public async Task Updates_from_two_threads_leave_nothing_displaced()
    {
        using Model model = new(10_000);
        using Sgd optimizer = new(model.Set, new SgdOptions { LearningRate = 0 });
        using DimerOptimizer dimer = new(optimizer, new DimerOptions { Interval = 1, Displacement = 0.1 });
        byte[] before = model.ParameterBytes();
        dimer.Step(() => 1);
        int steps = 1;
        int refusals = 0;
        DateTime end = DateTime.UtcNow + Patience;
        void StepUntilRefused()
        {
            for (int i = 0; i < 20_000 && Volatile.Read(ref refusals) < 200 && DateTime.UtcNow < end; i++)
            {
                try
                {
                    dimer.Step(static () => 1);
                    Interlocked.Increment(ref steps);
                }
                catch (InvalidOperationException)
                {
                    // In use, or displaced by the other.
                    Interlocked.Increment(ref refusals);
                }
            }
        }

        Task other = Task.Factory.StartNew(
            StepUntilRefused, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        StepUntilRefused();
        await other;

        // A thread's refused call may have interrupted the other's update; what is left of it is ended as by any host.
        if (dimer.IsDisplaced)
        {
            dimer.Restore();
        }

        Assert.True(refusals > 0, "the threads never met");
        Assert.Equal(before, model.ParameterBytes());
        Assert.Equal(steps, optimizer.StepCount);
        dimer.Step(() => 1);
        optimizer.Step();
        optimizer.Save(Stream.Null);
        Assert.Equal(before, model.ParameterBytes());
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
            using DimerSetup setup = new(DimerOptions.Recommended with { Interval = 2 });
            setup.Step(50);
            return DimerSnapshot.Of(setup.Dimer);
        }
    }

    /// <summary>A step that runs while the dimer is disposed of keeps its buffers to its end; nothing stays displaced.</summary>
    [Fact]
    public void Disposing_during_a_step_is_safe()
    {
        for (int round = 0; round < 40; round++)
        {
            using Model model = new(50_000);
            using Sgd optimizer = new(model.Set, new SgdOptions { LearningRate = 0 });
            byte[] before = model.ParameterBytes();
            DimerOptimizer dimer = new(optimizer, new DimerOptions { Interval = 1, Displacement = 0.1 });
            dimer.Step(() => 1);
            using ManualResetEventSlim started = new();
            Exception? end = null;
            Thread other = new(() =>
            {
                started.Set();
                while (end is null)
                {
                    end = Record.Exception(() => dimer.Step(static () => 1));
                }
            });
            other.Start();
            started.Wait();
            Thread.SpinWait(1 << (round % 16));
            dimer.Dispose();
            other.Join();
            Assert.IsType<ObjectDisposedException>(end);
            Assert.Equal(before, model.ParameterBytes());

            // All is let go: the set can have another dimer.
            using DimerOptimizer next = new(optimizer, new DimerOptions { Displacement = 0.1 });
            next.Step(() => 1);
        }
    }
}
