using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Dimer;

/// <summary>A dimer that waits for spikes of the loss, and an α that follows the curvature.</summary>
public class ActivationTests
{
    private static readonly SpikeActivation Activation = new() { Window = 3, Threshold = 4, Steps = 5 };

    private static readonly DimerOptions Options = new()
    {
        Interval = 2,
        Displacement = 0.5,
        RotationRate = 0.4,
        Alpha = 1.5,
        Correction = DimerCorrection.Escape,
        ActivateOnSpike = Activation,
    };

    /// <summary>What is told, with a spike at the fifth step: the dimer is active from there on for five steps.</summary>
    private static readonly double[] Losses = [1, 2, 3, 1, 50, 2, 3, 1, 2, 3, 1, 2];

    [Fact]
    public void Without_a_spike_steps_are_the_optimizers_own()
    {
        using DimerSetup setup = new(Options);
        using DimerSetup twin = new();
        for (int step = 0; step < 10; step++)
        {
            setup.Dimer.Step(setup.Loss.Closure);
            twin.Loss.Closure();
            twin.Optimizer.Step();
            Assert.False(setup.Dimer.IsActive);
        }

        Assert.Equal(Snapshot.Of(twin.Optimizer), Snapshot.Of(setup.Optimizer));
        Assert.Equal((10, 10), (setup.Dimer.StepCount, setup.Dimer.GradientEvaluations));
        Assert.Equal(0, setup.Dimer.AllocatedBytes);
    }

    [Fact]
    public void A_spike_activates_for_some_steps_and_updates_at_once()
    {
        using DimerSetup setup = new(Options);
        List<bool> active = [], updates = [];
        foreach (double loss in Losses)
        {
            setup.Loss.Closure();
            setup.Dimer.ReportLoss(loss);
            active.Add(setup.Dimer.IsActive);
            updates.Add(setup.Dimer.NeedsDisplacedGradient);
            Finish(setup);
        }

        Assert.Equal([4, 5, 6, 7, 8], Indices(active));
        Assert.Equal([4, 6, 8], Indices(updates));
        Assert.Equal(Losses.Length + 3, setup.Dimer.GradientEvaluations);
    }

    /// <summary>The dimer's own steps are those of one without the option: with a direction that is drawn at the first of them.</summary>
    [Fact]
    public void Active_steps_are_those_of_a_dimer_that_is_always_active()
    {
        using DimerSetup setup = new(Options);
        using DimerSetup always = new(Options with { ActivateOnSpike = null });
        foreach (double loss in Losses.Take(4))
        {
            setup.Loss.Closure();
            setup.Dimer.ReportLoss(loss);
            setup.Dimer.Step();
        }

        MemoryStream file = new();
        setup.Optimizer.Save(file, includeParameters: true);
        file.Position = 0;
        always.Optimizer.Load(file);
        foreach (double loss in Losses.Skip(4).Take(Activation.Steps))
        {
            setup.Loss.Closure();
            setup.Dimer.ReportLoss(loss);
            Finish(setup);
            always.Loss.Closure();
            Finish(always);
        }

        Assert.Equal(Snapshot.Of(always.Optimizer), Snapshot.Of(setup.Optimizer));
        Assert.Equal(always.Dimer.GetStatus(), setup.Dimer.GetStatus());
    }

    [Fact]
    public void Another_spike_prolongs_it()
    {
        using DimerSetup setup = new(Options);
        List<bool> active = [], updates = [];
        foreach (double loss in (double[])[1, 2, 3, 50, 1, 2, 60, 3, 1, 2, 3, 1, 2])
        {
            setup.Loss.Closure();
            setup.Dimer.ReportLoss(loss);
            active.Add(setup.Dimer.IsActive);
            updates.Add(setup.Dimer.NeedsDisplacedGradient);
            Finish(setup);
        }

        Assert.Equal([3, 4, 5, 6, 7, 8, 9, 10], Indices(active));
        Assert.Equal([3, 5, 7, 9], Indices(updates)); // the count of updates goes on
    }

    /// <summary>Wherever it is saved, before, within and after the active steps.</summary>
    [Fact]
    public void Resumes_bit_for_bit()
    {
        using DimerSetup whole = new(Options);
        Run(whole, 0, Losses.Length);
        string expected = DimerSnapshot.Of(whole.Dimer);
        for (int saveAt = 0; saveAt < Losses.Length; saveAt++)
        {
            using DimerSetup first = new(Options);
            Run(first, 0, saveAt);
            using MemoryStream file = new();
            first.Dimer.Save(file, includeParameters: true);
            using DimerSetup second = new(Options);
            Run(second, 0, 2); // what is there before does not matter
            file.Position = 0;
            second.Dimer.Load(file);
            Assert.Equal(first.Dimer.IsActive, second.Dimer.IsActive);
            Run(second, saveAt, Losses.Length);
            Assert.Equal(expected, DimerSnapshot.Of(second.Dimer));
        }
    }

    [Fact]
    public void A_file_of_a_dimer_without_the_option_begins_anew()
    {
        using DimerSetup always = new(Options with { ActivateOnSpike = null });
        always.Step(3);
        using MemoryStream file = new();
        always.Dimer.Save(file);
        using DimerSetup setup = new(Options);
        Run(setup, 0, 5);
        Assert.True(setup.Dimer.IsActive);
        file.Position = 0;
        setup.Dimer.Load(file);
        Assert.False(setup.Dimer.IsActive);

        // And the other way round.
        file.SetLength(0);
        Run(setup, 0, 5);
        setup.Dimer.Save(file);
        file.Position = 0;
        always.Dimer.Load(file);
        Assert.True(always.Dimer.IsActive);
        Assert.Equal(setup.Dimer.StepCount, always.Dimer.StepCount);
    }

    /// <summary>No step follows a loss that is not finite, but it is a spike.</summary>
    [Fact]
    public void A_loss_that_is_not_finite_activates()
    {
        using DimerSetup setup = new(Options);
        Assert.True(float.IsNaN(setup.Dimer.Step(static () => float.NaN)));
        Assert.Equal((0, true), (setup.Dimer.StepCount, setup.Dimer.IsActive));
        Assert.True(setup.Dimer.NeedsDisplacedGradient);
    }

    [Fact]
    public void Losses_allocate_nothing_once_the_window_is_full()
    {
        using DimerSetup setup = new(Options);
        long before = 0;
        for (int step = 0; step < 40; step++)
        {
            before = step == 20 ? GC.GetAllocatedBytesForCurrentThread() : before;
            setup.Dimer.ReportLoss(step % 3);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void A_loss_at_displaced_parameters_is_refused()
    {
        using DimerSetup setup = new(Options with { ActivateOnSpike = null });
        setup.Loss.Closure();
        setup.Dimer.Displace();
        Assert.Throws<InvalidOperationException>(() => setup.Dimer.ReportLoss(1));
        setup.Dimer.Restore();
        setup.Dimer.ReportLoss(1);
    }

    [Fact]
    public void Alpha_follows_the_measured_curvature()
    {
        // Each step's α by hand, from what the dimer's status says before it.
        DimerOptions options = Options with { ActivateOnSpike = null, Correction = DimerCorrection.Published };
        using DimerSetup setup = new(options with { AlphaSchedule = static curvature => 0.5 + (curvature * curvature) });
        using DimerSetup byHand = new(options);
        List<double> alphas = [];
        for (int step = 0; step < 7; step++)
        {
            double curvature = byHand.Dimer.GetStatus().Curvature;
            alphas.Add(double.IsNaN(curvature) ? options.Alpha : 0.5 + (curvature * curvature));
            byHand.Dimer.Options = options with { Alpha = alphas[^1] };
            byHand.Step(1);
            setup.Step(1);
        }

        Assert.Equal(Snapshot.Of(byHand.Optimizer), Snapshot.Of(setup.Optimizer));
        Assert.True(alphas.Distinct().Count() >= 3, string.Join(' ', alphas));
    }

    [Fact]
    public void Alpha_follows_the_curvature_after_a_resume()
    {
        DimerOptions options = Options with { ActivateOnSpike = null, AlphaSchedule = DimerOptions.NegativeCurvatureAlpha(3, 0.1) };
        using DimerSetup whole = new(options);
        whole.Step(8);
        using DimerSetup first = new(options), second = new(options);
        first.Step(5);
        using MemoryStream file = new();
        first.Dimer.Save(file, includeParameters: true);
        file.Position = 0;
        second.Step(1);
        second.Dimer.Load(file);
        second.Step(3);
        Assert.Equal(DimerSnapshot.Of(whole.Dimer), DimerSnapshot.Of(second.Dimer));
    }

    [Theory]
    [InlineData(-2, 1.6)]
    [InlineData(-0.5, 1)]
    [InlineData(0, 0)]
    [InlineData(7, 0)]
    public void Alpha_by_negative_curvature(double curvature, double expected) =>
        Assert.Equal(expected, DimerOptions.NegativeCurvatureAlpha(maximum: 2, scale: 0.5)(curvature), 1e-12);

    [Theory]
    [InlineData(double.NaN)]
    [InlineData(-1)]
    [InlineData(double.PositiveInfinity)]
    public void An_alpha_out_of_range_takes_no_step(double alpha)
    {
        using DimerSetup setup = new(Options with { ActivateOnSpike = null, AlphaSchedule = _ => alpha });
        setup.Step(1); // Nothing is measured before it.
        InvalidOperationException error =
            DimerSnapshot.Unchanged<InvalidOperationException>(setup.Dimer, () => setup.Dimer.Step(setup.Loss.Closure));
        Assert.Contains("AlphaSchedule made", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Options_out_of_range_are_refused()
    {
        Refuse("Window", Options with { ActivateOnSpike = new SpikeActivation { Window = 1 } });
        Refuse("Threshold", Options with { ActivateOnSpike = new SpikeActivation { Threshold = 0 } });
        Refuse("Threshold", Options with { ActivateOnSpike = new SpikeActivation { Threshold = double.NaN } });
        Refuse("Steps", Options with { ActivateOnSpike = new SpikeActivation { Steps = 0 } });
        Refuse("AlphaSchedule", Options with { Scope = DimerScope.PerTensor, AlphaSchedule = static _ => 1 });
        Assert.Throws<ArgumentOutOfRangeException>(static () => DimerOptions.NegativeCurvatureAlpha(-1, 1));
        Assert.Throws<ArgumentOutOfRangeException>(static () => DimerOptions.NegativeCurvatureAlpha(1, 0));

        static void Refuse(string name, DimerOptions options)
        {
            using Model model = new(3);
            using Adam optimizer = new(model.Set);
            ArgumentException error = Assert.ThrowsAny<ArgumentException>(() => new DimerOptimizer(optimizer, options));
            Assert.Contains(name, error.Message, StringComparison.Ordinal);
        }
    }

    // The page on dimers has this.
    [Fact]
    public void The_page_has_a_loop_that_reports_its_loss()
    {
        using DimerSetup setup = new();
        Func<float> computeGradients = setup.Loss.Closure;
        setup.Dimer.Dispose();
        Optimizer optimizer = setup.Optimizer;
        using DimerOptimizer dimer = new(optimizer, DimerOptions.Recommended with
        {
            ActivateOnSpike = new SpikeActivation { Window = 30, Threshold = 5, Steps = 20 },
            AlphaSchedule = DimerOptions.NegativeCurvatureAlpha(maximum: 2, scale: 1),
        });

        float loss = computeGradients();
        dimer.ReportLoss(loss);
        while (dimer.NeedsDisplacedGradient)
        {
            dimer.Displace();
            computeGradients();
        }

        dimer.Step();
        Assert.Equal((1, 1, false), (dimer.StepCount, dimer.GradientEvaluations, dimer.IsActive));
    }

    private static void Run(DimerSetup setup, int from, int to)
    {
        for (int step = from; step < to; step++)
        {
            setup.Loss.Closure();
            setup.Dimer.ReportLoss(Losses[step]);
            Finish(setup);
        }
    }

    private static void Finish(DimerSetup setup)
    {
        while (setup.Dimer.NeedsDisplacedGradient)
        {
            setup.Dimer.Displace();
            setup.Loss.Closure();
        }

        setup.Dimer.Step();
    }

    private static int[] Indices(List<bool> flags) => [.. Enumerable.Range(0, flags.Count).Where(i => flags[i])];
}
