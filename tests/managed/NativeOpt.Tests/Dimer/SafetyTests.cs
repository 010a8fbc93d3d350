using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Dimer;

/// <summary>Whatever goes wrong within a step: parameters and states are what they were.</summary>
public class SafetyTests
{
    private static readonly DimerOptions FixedRate = new() { Interval = 3, Displacement = 0.5, RotationRate = 0.4 };

    private static readonly DimerOptions Optimal = FixedRate with { Angle = RotationAngle.Optimal };

    /// <summary>How an evaluation can fail.</summary>
    public enum Failure
    {
        Throws,
        Cancels,
        IsNaN,
        IsInfinite,
        IsNegativeInfinite,
    }

    /// <summary>A failure of each evaluation of an update.</summary>
    public static TheoryData<Failure, int, RotationAngle, int> Failures
    {
        get
        {
            TheoryData<Failure, int, RotationAngle, int> failures = [];
            foreach (Failure failure in Enum.GetValues<Failure>())
            {
                foreach (RotationAngle angle in Enum.GetValues<RotationAngle>())
                {
                    foreach (int rotations in new[] { 1, 3 })
                    {
                        int evaluations = 1 + rotations + (angle == RotationAngle.FixedRate ? 0 : 1);
                        for (int evaluation = 1; evaluation <= evaluations; evaluation++)
                        {
                            failures.Add(failure, evaluation, angle, rotations);
                        }
                    }
                }
            }

            return failures;
        }
    }

    public static TheoryData<string> OptimizerNames => Rules.OptimizerNames;

    [Theory]
    [MemberData(nameof(Failures))]
    public void A_failed_evaluation_changes_nothing(Failure failure, int evaluation, RotationAngle angle, int rotations)
    {
        DimerOptions options = FixedRate with { Angle = angle, RotationsPerUpdate = rotations, Fallback = DimerFallback.NoStep };
        using DimerSetup setup = new(options);
        using DimerSetup twin = new(options);
        setup.Step(3);
        twin.Step(3);
        string before = Snapshot.Of(setup.Optimizer);
        string dimerBefore = DimerSnapshot.Of(setup.Dimer);
        using CancellationTokenSource source = new();
        InvalidTimeZoneException thrown = new("of the closure");
        int calls = 0;
        Exception? exception = null;
        float loss = 0;
        try
        {
            loss = setup.Dimer.Step(Fail, cancellationToken: source.Token);
        }
        catch (Exception caught) when (caught is InvalidTimeZoneException or OperationCanceledException)
        {
            exception = caught;
        }

        Assert.Equal(evaluation, calls);
        switch (failure)
        {
            case Failure.Throws:
                Assert.Same(thrown, exception);
                break;
            case Failure.Cancels:
                Assert.Equal(source.Token, Assert.IsType<OperationCanceledException>(exception).CancellationToken);
                break;
            default:
                Assert.Null(exception);
                Assert.Equal(Loss(), loss);
                break;
        }

        Assert.Equal(before, Snapshot.Of(setup.Optimizer));
        Assert.Equal((3L, false, true), (setup.Dimer.StepCount, setup.Dimer.IsDisplaced, setup.Dimer.NeedsDisplacedGradient));
        Assert.Equal(twin.Dimer.GradientEvaluations, setup.Dimer.GradientEvaluations);
        int evaluations = 1 + rotations + (angle == RotationAngle.FixedRate ? 0 : 1);

        // A rotation is made with the gradient after the next; until then the direction is the old one.
        bool hasTurned = rotations > 1 && evaluation > (angle == RotationAngle.FixedRate ? 2 : 3);
        if (!hasTurned)
        {
            Assert.Equal(dimerBefore, DimerSnapshot.Of(setup.Dimer));
        }

        // The search of conjugate directions is used up by the first rotation, and begins anew.
        bool hasSearched = angle == RotationAngle.Conjugate && evaluation > 2;

        // The step can be taken again, with its update; and goes on as if nothing had been, unless the direction turned.
        int made = setup.Loss.Evaluations;
        setup.Step(1);
        Assert.Equal((evaluations, 4L), (setup.Loss.Evaluations - made, setup.Dimer.StepCount));
        Assert.NotEqual(before, Snapshot.Of(setup.Optimizer));
        if (!hasTurned && !hasSearched)
        {
            twin.Step(1);
            Assert.Equal(DimerSnapshot.Of(twin.Dimer), DimerSnapshot.Of(setup.Dimer));
        }

        float Fail()
        {
            float good = setup.Loss.Closure();
            if (++calls < evaluation)
            {
                return good;
            }

            switch (failure)
            {
                case Failure.Throws:
                    throw thrown;
                case Failure.Cancels:
                    source.Cancel();
                    return good;
                default:
                    return Loss();
            }
        }

        float Loss() => failure switch
        {
            Failure.IsNaN => float.NaN,
            Failure.IsInfinite => float.PositiveInfinity,
            _ => float.NegativeInfinity,
        };
    }

    /// <summary>Even if the closure throws what the step itself catches for.</summary>
    [Theory]
    [MemberData(nameof(OptimizerNames))]
    public void Every_optimizer_is_left_as_it_was(string name)
    {
        using DimerSetup setup = new(Optimal, name);
        setup.Step(3);
        for (int evaluation = 1; evaluation <= 3; evaluation++)
        {
            int calls = 0;
            ObjectDisposedException thrown = new("the data");
            Assert.Same(thrown, DimerSnapshot.Unchanged<ObjectDisposedException>(setup.Dimer, () => setup.Dimer.Step(
                () => ++calls < evaluation ? setup.Loss.Closure() : throw thrown)));
        }

        setup.Step(1);
        Assert.Equal(4, setup.Optimizer.StepCount);
    }

    [Fact]
    public void A_cancelled_token_evaluates_nothing()
    {
        using DimerSetup setup = new(FixedRate);
        DimerSnapshot.Unchanged<OperationCanceledException>(
            setup.Dimer, () => setup.Dimer.Step(setup.Loss.Closure, cancellationToken: new CancellationToken(canceled: true)));
        Assert.Equal(0, setup.Loss.Evaluations);
    }

    [Fact]
    public void A_loss_that_is_not_finite_ends_a_step_without_an_update_too()
    {
        using DimerSetup setup = new(FixedRate);
        setup.Step(1);
        string before = DimerSnapshot.Of(setup.Dimer);
        Assert.Equal(float.NaN, setup.Dimer.Step(() => float.NaN));
        Assert.Equal(before, DimerSnapshot.Of(setup.Dimer));
    }

    [Fact]
    public void A_null_closure_is_refused()
    {
        using DimerSetup setup = new(FixedRate);
        Assert.Equal(
            "closure", DimerSnapshot.Unchanged<ArgumentNullException>(setup.Dimer, () => setup.Dimer.Step(null!)).ParamName);
    }

    /// <summary>A closure that ends the dimer, or all, has ended the step; and nothing stays displaced.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void The_closure_may_dispose_of_things(int evaluation)
    {
        foreach (bool ofOptimizer in new[] { false, true })
        {
            using DimerSetup setup = new(Optimal);
            byte[] before = setup.Model.ParameterBytes();
            int calls = 0;
            Assert.Throws<ObjectDisposedException>(() => setup.Dimer.Step(() =>
            {
                if (++calls == evaluation)
                {
                    (ofOptimizer ? (IDisposable)setup.Optimizer : setup.Dimer).Dispose();
                }

                return setup.Loss.Closure();
            }));
            Assert.Equal(before, setup.Model.ParameterBytes());
            Assert.False(setup.Dimer.IsDisplaced);
        }
    }

    /// <summary>A closure that steps or displaces itself is told so.</summary>
    [Fact]
    public void The_closure_may_not_step()
    {
        using DimerSetup setup = new(FixedRate);
        Action[] steps =
        [
            setup.Optimizer.Step,
            () => setup.Dimer.Step(setup.Loss.Closure),
            () => setup.Dimer.Options = FixedRate,
            () => setup.Dimer.Save(Stream.Null),
        ];
        foreach (Action step in steps)
        {
            DimerSnapshot.Unchanged<InvalidOperationException>(setup.Dimer, () => setup.Dimer.Step(() =>
            {
                float loss = setup.Loss.Closure();
                if (setup.Dimer.IsDisplaced)
                {
                    step();
                }

                return loss;
            }));
        }

        setup.Step(1);
        Assert.Equal(1, setup.Optimizer.StepCount);
    }

    [Fact]
    public void A_step_that_lacks_its_displaced_gradients_is_refused()
    {
        foreach (DimerOptions options in new[] { FixedRate, Optimal, FixedRate with { RotationsPerUpdate = 2 } })
        {
            using DimerSetup setup = new(options);
            setup.Loss.Closure();
            while (setup.Dimer.NeedsDisplacedGradient)
            {
                InvalidOperationException exception =
                    DimerSnapshot.Unchanged<InvalidOperationException>(setup.Dimer, setup.Dimer.Step);
                Assert.Contains(nameof(DimerOptimizer.NeedsDisplacedGradient), exception.Message, StringComparison.Ordinal);
                setup.Dimer.Displace();
                setup.Loss.Closure();
            }

            DimerSnapshot.Unchanged<InvalidOperationException>(setup.Dimer, setup.Dimer.Displace);
            setup.Dimer.Step();
            DimerSnapshot.Unchanged<InvalidOperationException>(setup.Dimer, setup.Dimer.Restore);
            Assert.Equal(1, setup.Dimer.StepCount);
        }
    }

    /// <summary>What would step, save or load at displaced parameters, or change the update that is on its way.</summary>
    [Fact]
    public void Displaced_parameters_are_guarded()
    {
        using TemporaryFolder folder = new();
        using DimerSetup setup = new(Optimal);
        setup.Step(1);
        setup.Dimer.Save(folder.File("dimer"));
        setup.Step(2);
        byte[] undisplaced = setup.Model.ParameterBytes();
        string before = DimerSnapshot.Of(setup.Dimer);
        using MemoryStream stream = new();
        byte[] saved = File.ReadAllBytes(folder.File("dimer"));
        setup.Loss.Closure();
        for (int displacement = 0; displacement < 2; displacement++)
        {
            setup.Dimer.Displace();
            Action[] actions =
            [
                setup.Optimizer.Step,
                () => setup.Optimizer.Step(DeviceStream.Default),
                () => setup.Optimizer.Save(stream),
                () => setup.Optimizer.Save(stream, includeParameters: true),
                () => setup.Optimizer.Save(folder.File("new")),
                () => setup.Optimizer.Load(new MemoryStream(saved)),
                () => setup.Optimizer.Load(folder.File("dimer")),
                () => setup.Dimer.Step(setup.Loss.Closure),
                () => setup.Dimer.Save(stream),
                () => setup.Dimer.Save(folder.File("new")),
                () => setup.Dimer.Load(new MemoryStream(saved)),
                () => setup.Dimer.Load(folder.File("dimer")),
                () => setup.Dimer.Options = setup.Dimer.Options with { Alpha = 1 },
                () => setup.Dimer.Options = setup.Dimer.Options,
                () => setup.Dimer.SetDirection(setup.Model.Gradients),
            ];
            int evaluations = setup.Loss.Evaluations;
            Assert.All(actions, action =>
            {
                InvalidOperationException exception =
                    DimerSnapshot.Unchanged<InvalidOperationException>(setup.Dimer, action);
                Assert.Contains("displaced", exception.Message, StringComparison.Ordinal);
                Assert.Contains("restore", exception.Message, StringComparison.OrdinalIgnoreCase);
            });
            Assert.Equal(evaluations, setup.Loss.Evaluations);
            Assert.Equal(0, stream.Length);
            Assert.False(File.Exists(folder.File("new")));
            Assert.Equal(folder.File("dimer"), Assert.Single(Directory.GetFileSystemEntries(folder.Path)));
            setup.Loss.Closure();
        }

        setup.Dimer.Restore();
        Assert.Equal(undisplaced, setup.Model.ParameterBytes());
        Assert.Equal(before, DimerSnapshot.Of(setup.Dimer).Replace("gradient False", "gradient True", StringComparison.Ordinal));
    }

    [Fact]
    public void A_step_after_a_restore_is_one_without_an_update()
    {
        foreach (RotationAngle angle in Enum.GetValues<RotationAngle>())
        {
            // The twin's second update is not due at the step where the other one gives its up.
            using DimerSetup setup = new(FixedRate with { Angle = angle, Interval = 1 });
            using DimerSetup twin = new(FixedRate with { Angle = angle, Interval = 2 });
            setup.Step(1);
            twin.Step(1);
            string before = Snapshot.Of(setup.Optimizer);
            setup.Loss.Closure();
            do
            {
                setup.Dimer.Displace();
                setup.Loss.Closure();
            }
            while (setup.Dimer.NeedsDisplacedGradient);

            setup.Dimer.Restore();
            Assert.Equal(before, Snapshot.Of(setup.Optimizer));
            Assert.Equal((false, false), (setup.Dimer.IsDisplaced, setup.Dimer.NeedsDisplacedGradient));
            setup.Loss.Closure();
            setup.Dimer.Step();
            Assert.True(setup.Dimer.NeedsDisplacedGradient);
            twin.Step(1);
            Assert.Equal(2 + twin.Loss.Evaluations, setup.Loss.Evaluations + (angle == RotationAngle.FixedRate ? 1 : 0) - 1);
            Assert.Equal(twin.Dimer.GradientEvaluations, setup.Dimer.GradientEvaluations);
            Assert.Equal(Snapshot.Of(twin.Optimizer), Snapshot.Of(setup.Optimizer));
            Assert.Equal(DimerSnapshot.Directions(twin.Dimer), DimerSnapshot.Directions(setup.Dimer));
            Assert.Equal(twin.Dimer.GetStatus().Curvature, setup.Dimer.GetStatus().Curvature);

            // ... and the next update is made.
            int made = setup.Loss.Evaluations;
            setup.Step(1);
            Assert.Equal(angle == RotationAngle.FixedRate ? 2 : 3, setup.Loss.Evaluations - made);
        }
    }

    [Fact]
    public void An_update_may_begin_anew_after_a_restore()
    {
        foreach (RotationAngle angle in Enum.GetValues<RotationAngle>())
        {
            foreach (bool withClosure in new[] { false, true })
            {
                using DimerSetup setup = new(FixedRate with { Angle = angle });
                using DimerSetup twin = new(FixedRate with { Angle = angle });
                twin.Step(2);
                setup.Loss.Closure();
                setup.Dimer.Displace();
                setup.Loss.Closure();
                setup.Dimer.Restore();
                if (withClosure)
                {
                    setup.Step(2);
                }
                else
                {
                    setup.Loss.Closure();
                    do
                    {
                        setup.Dimer.Displace();
                        setup.Loss.Closure();
                    }
                    while (setup.Dimer.NeedsDisplacedGradient);

                    setup.Dimer.Step();
                    setup.Loss.Closure();
                    setup.Dimer.Step();
                }

                Assert.Equal(DimerSnapshot.Of(twin.Dimer), DimerSnapshot.Of(setup.Dimer));
            }
        }
    }

    /// <summary>Bits that arithmetic would not give back.</summary>
    [Fact]
    public void Restoring_gives_back_every_bit()
    {
        float[] odd =
        [
            0, -0.0f, float.Epsilon, -float.Epsilon, 1e-39f, float.MaxValue, float.MinValue, float.PositiveInfinity,
            float.NegativeInfinity, float.NaN, BitConverter.UInt32BitsToSingle(0x7F800001), BitConverter.UInt32BitsToSingle(0xFFC12345),
            1, 16_777_216, 1e30f,
        ];
        float[] parameter = [.. odd];
        using ParameterSet set = ParameterSet.FromArrays([parameter], [new float[odd.Length]]);
        using Adam optimizer = new(set);
        using DimerOptimizer dimer = new(optimizer, new DimerOptions { RotationsPerUpdate = 3, Displacement = 2 });
        string before = Snapshot.Of(optimizer);
        for (int displacements = 1; displacements <= 3; displacements++)
        {
            for (int i = 0; i < displacements; i++)
            {
                dimer.Displace();
                Assert.NotEqual(before, Snapshot.Of(optimizer));
            }

            dimer.Restore();
            Assert.Equal(before, Snapshot.Of(optimizer));
        }
    }

    /// <summary>Of random shapes, displacing and restoring is the identity.</summary>
    [Fact]
    public void Displacing_and_restoring_is_the_identity()
    {
        Random random = new(20250719);
        for (int round = 0; round < 60; round++)
        {
            int[] sizes = [.. Enumerable.Range(0, random.Next(1, 8)).Select(_ => random.Next(4) switch
            {
                0 => 0,
                1 => random.Next(1, 9),
                2 => random.Next(9, 300),
                _ => random.Next(300, 40_000),
            })];
            DimerOptions options = new()
            {
                Scope = (DimerScope)random.Next(2),
                Angle = (RotationAngle)random.Next(2),
                RotationsPerUpdate = random.Next(1, 4),
                Displacement = Math.Pow(10, random.Next(-1, 3)),
                Seed = (ulong)round,
            };
            using Model model = new(sizes);
            using Adam optimizer = new(model.Set);
            using DimerOptimizer dimer = new(optimizer, options);
            byte[] before = model.ParameterBytes();
            int displacements = 0;
            do
            {
                dimer.Displace();
                model.SetGradients(1 + ++displacements);
                Assert.True(
                    sizes.Sum() == 0 || !before.AsSpan().SequenceEqual(model.ParameterBytes()), string.Join(' ', sizes));
            }
            while (dimer.NeedsDisplacedGradient && random.Next(3) > 0);

            dimer.Restore();
            Assert.True(before.AsSpan().SequenceEqual(model.ParameterBytes()), $"{string.Join(' ', sizes)} {options}");
        }
    }

    [Fact]
    public void Cpu_takes_the_default_stream_only()
    {
        using DimerSetup setup = new(FixedRate);
        setup.Loss.Closure();
        using DeviceStream good = DeviceStream.Create(Device.Cpu);
        DeviceStream disposed = DeviceStream.Create(Device.Cpu);
        disposed.Dispose();
        RefusesStreams(() => setup.Dimer.Displace(DeviceStream.PerThread), () => setup.Dimer.Displace(disposed));
        RefusesStreams(
            () => setup.Dimer.Step(setup.Loss.Closure, DeviceStream.PerThread), () => setup.Dimer.Step(setup.Loss.Closure, disposed));
        setup.Dimer.Displace(good);
        setup.Loss.Closure();
        RefusesStreams(() => setup.Dimer.Restore(DeviceStream.PerThread), () => setup.Dimer.Restore(disposed));
        RefusesStreams(() => setup.Dimer.Step(DeviceStream.PerThread), () => setup.Dimer.Step(disposed));
        setup.Dimer.Step(good);
        RefusesStreams(
            () => setup.Dimer.SetDirection(setup.Model.Gradients, DeviceStream.PerThread),
            () => setup.Dimer.SetDirection(setup.Model.Gradients, disposed));
        using MemoryStream stream = new();
        setup.Dimer.Save(stream);
        RefusesStreams(
            () => setup.Dimer.Load(new MemoryStream(stream.ToArray()), DeviceStream.PerThread),
            () => setup.Dimer.Load(new MemoryStream(stream.ToArray()), disposed));
        setup.Dimer.Step(setup.Loss.Closure, good);
        Assert.Equal(2, setup.Dimer.StepCount);

        void RefusesStreams(Action perThread, Action onDisposed)
        {
            DimerSnapshot.Unchanged<ArgumentException>(setup.Dimer, perThread);
            DimerSnapshot.Unchanged<ObjectDisposedException>(setup.Dimer, onDisposed);
        }
    }
}
