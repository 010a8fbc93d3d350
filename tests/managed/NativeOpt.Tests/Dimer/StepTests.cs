using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Dimer;

/// <summary>When gradients are asked for, how many, and where.</summary>
public class StepTests
{
    public static TheoryData<int, int, RotationAngle> Schedules
    {
        get
        {
            TheoryData<int, int, RotationAngle> schedules = [];
            foreach (int interval in new[] { 1, 2, 5 })
            {
                foreach (int rotations in new[] { 1, 2, 4 })
                {
                    foreach (RotationAngle angle in Enum.GetValues<RotationAngle>())
                    {
                        schedules.Add(interval, rotations, angle);
                    }
                }
            }

            return schedules;
        }
    }

    [Theory]
    [MemberData(nameof(Schedules))]
    public void The_closure_is_called_as_often_as_the_step_needs(int interval, int rotations, RotationAngle angle)
    {
        using DimerSetup setup = new(
            new DimerOptions { Interval = interval, RotationsPerUpdate = rotations, Angle = angle, Displacement = 0.1 });
        int ofUpdates = 1 + rotations + (angle == RotationAngle.FixedRate ? 0 : 1);
        int total = 0;
        for (int step = 0; step < 11; step++)
        {
            Assert.Equal((step, (long)total), (setup.Dimer.StepCount, setup.Dimer.GradientEvaluations));
            setup.Dimer.Step(setup.Loss.Closure);
            total += step % interval == 0 ? ofUpdates : 1;
            Assert.Equal(total, setup.Loss.Evaluations);
        }

        Assert.Equal((11, (long)total), (setup.Dimer.StepCount, setup.Dimer.GradientEvaluations));
        Assert.Equal(11, setup.Optimizer.StepCount);
    }

    [Theory]
    [MemberData(nameof(Schedules))]
    public void The_next_gradient_is_announced(int interval, int rotations, RotationAngle angle)
    {
        using DimerSetup setup = new(
            new DimerOptions { Interval = interval, RotationsPerUpdate = rotations, Angle = angle, Displacement = 0.1 });
        DimerOptimizer dimer = setup.Dimer;
        int displaced = rotations + (angle == RotationAngle.FixedRate ? 0 : 1);
        for (int step = 0; step < 11; step++)
        {
            bool due = step % interval == 0;
            setup.Loss.Closure();
            for (int i = 0; i < (due ? displaced : 0); i++)
            {
                Assert.Equal((true, i > 0), (dimer.NeedsDisplacedGradient, dimer.IsDisplaced));
                dimer.Displace();
                setup.Loss.Closure();
            }

            Assert.Equal((false, due), (dimer.NeedsDisplacedGradient, dimer.IsDisplaced));
            dimer.Step();
            Assert.Equal(((step + 1) % interval == 0, false), (dimer.NeedsDisplacedGradient, dimer.IsDisplaced));
        }
    }

    /// <summary>A scheduler may change the interval; updates are due at its multiples.</summary>
    [Fact]
    public void The_interval_may_change()
    {
        using DimerSetup setup = new(new DimerOptions { Interval = 2, Displacement = 0.1 });
        int[] evaluations = [.. Enumerable.Range(0, 12).Select(step =>
        {
            if (step == 5)
            {
                setup.Dimer.Options = setup.Dimer.Options with { Interval = 3, RotationsPerUpdate = 2 };
            }

            int before = setup.Loss.Evaluations;
            setup.Dimer.Step(setup.Loss.Closure);
            return setup.Loss.Evaluations - before;
        })];
        Assert.Equal([2, 1, 2, 1, 2, 1, 3, 1, 1, 3, 1, 1], evaluations);
    }

    /// <summary>An angle that asks for a buffer more may come later.</summary>
    [Fact]
    public void The_angle_may_change()
    {
        using DimerSetup setup = new(new DimerOptions { Interval = 1, Displacement = 0.1 });
        setup.Dimer.Step(setup.Loss.Closure);
        setup.Dimer.Options = DimerOptions.Recommended with { Interval = 1, Displacement = 0.1 };
        setup.Dimer.Step(setup.Loss.Closure);
        setup.Dimer.Options = new DimerOptions { Interval = 1, Displacement = 0.1 };
        setup.Dimer.Step(setup.Loss.Closure);
        Assert.Equal((2 + 3 + 2, 3L), (setup.Loss.Evaluations, setup.Dimer.StepCount));
    }

    [Fact]
    public void The_loss_is_that_of_the_parameters_before_the_step()
    {
        using DimerSetup setup = new(new DimerOptions { Interval = 2, RotationsPerUpdate = 2, Displacement = 0.5 });
        for (int step = 0; step < 4; step++)
        {
            byte[] before = setup.Model.ParameterBytes();
            List<float> losses = [];
            List<byte[]> seen = [];
            float loss = setup.Dimer.Step(() =>
            {
                seen.Add(setup.Model.ParameterBytes());
                losses.Add(setup.Loss.Closure());
                return losses[^1];
            });
            Assert.Equal(losses[0], loss);
            Assert.Equal(before, seen[0]);
            Assert.All(losses.Skip(1), other => Assert.NotEqual(loss, other));
            Assert.All(seen.Skip(1), other => Assert.NotEqual(before, other));
        }
    }

    /// <remarks>
    /// The tolerance: displaced parameters are rounded to float, each by 2^-25 at most since they are below 1, and the
    /// direction's length by as much.
    /// </remarks>
    [Theory]
    [InlineData(RotationAngle.FixedRate, DimerScope.Global)]
    [InlineData(RotationAngle.FixedRate, DimerScope.PerTensor)]
    [InlineData(RotationAngle.Optimal, DimerScope.Global)]
    [InlineData(RotationAngle.Optimal, DimerScope.PerTensor)]
    public void Displaced_parameters_are_at_the_displacement(RotationAngle angle, DimerScope scope)
    {
        using DimerSetup setup = new(new DimerOptions
        {
            Angle = angle,
            Scope = scope,
            Interval = 1,
            RotationsPerUpdate = 2,
            Displacement = 0.03,
            RotationRate = 5,
        });
        float[][] before = [.. setup.Model.Parameters.Select(values => values.ToArray())];
        setup.Loss.Closure();
        List<string> places = [];
        while (setup.Dimer.NeedsDisplacedGradient)
        {
            setup.Dimer.Displace();
            AssertDistances(0.03);
            places.Add(Convert.ToHexString(setup.Model.ParameterBytes()));
            setup.Loss.Closure();
        }

        // Each time elsewhere: along another direction.
        Assert.Equal(places.Count, places.Distinct().Count());
        Assert.Equal(angle == RotationAngle.FixedRate ? 2 : 3, places.Count);

        void AssertDistances(double expected)
        {
            double[] squares = [.. before.Zip(
                setup.Model.Parameters, (a, b) => a.Zip(b, (x, y) => ((double)x - y) * ((double)x - y)).Sum())];
            double[] distances = scope == DimerScope.Global
                ? [Math.Sqrt(squares.Sum())]
                : [.. squares.Where((_, tensor) => DimerSetup.Sizes[tensor] > 0).Select(Math.Sqrt)];
            Assert.All(distances, distance => Assert.Equal(expected, distance, 21 * Math.Pow(2, -24)));
        }
    }

    /// <summary>They follow a schedule of the learning rate.</summary>
    [Fact]
    public void The_displacement_is_10_times_the_learning_rate_unless_given()
    {
        using DimerSetup setup = new(new DimerOptions { Interval = 1, Alpha = 0 });
        foreach (double learningRate in new[] { 1e-3, 0.025, 4e-3 })
        {
            setup.Optimizer.LearningRate = learningRate;
            Assert.Equal(10 * learningRate, Distance(), 21 * Math.Pow(2, -24));
        }

        setup.Dimer.Options = setup.Dimer.Options with { Displacement = 0.2 };
        Assert.Equal(0.2, Distance(), 21 * Math.Pow(2, -24));

        double Distance()
        {
            float[][] before = [.. setup.Model.Parameters.Select(values => values.ToArray())];
            setup.Loss.Closure();
            setup.Dimer.Displace();
            double square = before.Zip(
                setup.Model.Parameters, (a, b) => a.Zip(b, (x, y) => ((double)x - y) * ((double)x - y)).Sum()).Sum();
            setup.Loss.Closure();
            setup.Dimer.Step();
            return Math.Sqrt(square);
        }
    }

    /// <summary>The displacement of an update is that with which it began, or the curvature would be of another length.</summary>
    [Fact]
    public void A_learning_rate_that_changes_within_an_update_counts_for_the_step_only()
    {
        string[] results = [.. new[] { false, true }.Select(during =>
        {
            using DimerSetup setup = new(new DimerOptions { RotationsPerUpdate = 2 });
            setup.Loss.Closure();
            setup.Dimer.Displace();
            setup.Loss.Closure();
            setup.Optimizer.LearningRate = during ? 0.5 : setup.Optimizer.LearningRate;
            setup.Dimer.Displace();
            setup.Loss.Closure();
            setup.Optimizer.LearningRate = 0.5;
            setup.Dimer.Step();
            return DimerSnapshot.Of(setup.Dimer);
        })];
        Assert.Equal(results[0], results[1]);
    }

    [Fact]
    public void Gradients_may_move_between_evaluations()
    {
        using DimerSetup setup = new(new DimerOptions { Interval = 2, Displacement = 0.5 });
        using DimerSetup moving = new(new DimerOptions { Interval = 2, Displacement = 0.5 });
        List<DeviceBuffer<float>[]> buffers = [];
        for (int step = 0; step < 4; step++)
        {
            setup.Dimer.Step(setup.Loss.Closure);
            moving.Dimer.Step(() =>
            {
                float loss = moving.Loss.Closure();
                DeviceBuffer<float>[] own = [.. DimerSetup.Sizes.Select(size => new DeviceBuffer<float>(Device.Cpu, size))];
                buffers.Add(own);
                for (int i = 0; i < own.Length; i++)
                {
                    own[i].CopyFrom(moving.Model.Gradients[i]);
                    moving.Model.Gradients[i].AsSpan().Fill(float.NaN);
                }

                moving.Model.Set.SetGradients([.. own.Select(TensorRef.FromDeviceBuffer)]);
                return loss;
            });
        }

        Assert.Equal(DimerSnapshot.Of(setup.Dimer), DimerSnapshot.Of(moving.Dimer));
        foreach (DeviceBuffer<float> buffer in buffers.SelectMany(own => own))
        {
            buffer.Dispose();
        }
    }

    /// <summary>The backup knows where the parameters are now.</summary>
    [Fact]
    public void Parameters_may_move_while_they_are_displaced()
    {
        foreach (bool restores in new[] { false, true })
        {
            using DimerSetup setup = new(new DimerOptions { Interval = 2, Displacement = 0.5 });
            using DimerSetup moving = new(new DimerOptions { Interval = 2, Displacement = 0.5 });
            DeviceBuffer<float>[] buffers = [.. DimerSetup.Sizes.Select(size => new DeviceBuffer<float>(Device.Cpu, size))];
            foreach (DimerSetup own in new[] { setup, moving })
            {
                own.Loss.Closure();
                own.Dimer.Displace();
                own.Loss.Closure();
            }

            for (int i = 0; i < buffers.Length; i++)
            {
                buffers[i].CopyFrom(moving.Model.Parameters[i]);
            }

            moving.Model.Set.SetParameters([.. buffers.Select(TensorRef.FromDeviceBuffer)]);
            foreach (DimerOptimizer dimer in new[] { setup.Dimer, moving.Dimer })
            {
                if (restores)
                {
                    dimer.Restore();
                }
                else
                {
                    dimer.Step();
                }
            }

            Assert.Equal(DimerSnapshot.Of(setup.Dimer), DimerSnapshot.Of(moving.Dimer));
            Assert.Equal(setup.Model.Parameters, buffers.Select(buffer => buffer.AsSpan().ToArray()));
            moving.Dimer.Dispose();
            Array.ForEach(buffers, buffer => buffer.Dispose());
        }
    }

    /// <summary>Frameworks have no gradients before the first backward pass.</summary>
    [Fact]
    public void The_closure_may_bring_the_first_gradients()
    {
        float[] parameter = [1, 2, 3];
        float[] gradient = [1, 1, 1];
        using DeviceBuffer<float> parameters = new(Device.Cpu, 3);
        using DeviceBuffer<float> gradients = new(Device.Cpu, 3);
        parameters.CopyFrom(parameter);
        gradients.CopyFrom(gradient);
        using ParameterSet set = new([parameters]);
        using Sgd optimizer = new(set);
        using DimerOptimizer dimer = new(optimizer);
        DimerSnapshot.Unchanged<InvalidOperationException>(dimer, () => dimer.Step(() => 1));
        DimerSnapshot.Unchanged<InvalidOperationException>(dimer, dimer.Displace);
        DimerSnapshot.Unchanged<InvalidOperationException>(dimer, dimer.Step);
        dimer.Step(() =>
        {
            set.SetGradients([gradients]);
            return 1;
        });
        Assert.Equal(1, dimer.StepCount);
        Assert.NotEqual(parameter, parameters.AsSpan().ToArray());
    }

    [Theory]
    [InlineData(DimerScope.Global)]
    [InlineData(DimerScope.PerTensor)]
    public void Sets_without_elements_step(DimerScope scope)
    {
        foreach (int[] sizes in new int[][] { [], [0], [0, 0] })
        {
            foreach (RotationAngle angle in Enum.GetValues<RotationAngle>())
            {
                using Model model = new(sizes);
                using Adam optimizer = new(model.Set);
                using DimerOptimizer dimer = new(optimizer, new DimerOptions { Scope = scope, Angle = angle, Interval = 2 });
                Assert.Equal(scope == DimerScope.Global ? 1 : sizes.Length, dimer.ScopeCount);
                dimer.SetDirection(model.Parameters);
                for (int step = 0; step < 3; step++)
                {
                    Assert.Equal(5, dimer.Step(() => 5));
                }

                using MemoryStream stream = new();
                dimer.Save(stream, includeParameters: true);
                dimer.Step(() => 5);
                stream.Position = 0;
                dimer.Load(stream);
                Assert.Equal((3L, 3L), (dimer.StepCount, optimizer.StepCount));
                Assert.All(Enumerable.Range(0, dimer.ScopeCount), i => Assert.Equal(double.NaN, dimer.GetStatus(i).Curvature));
            }
        }
    }

    /// <summary>Status is of the last step, and known before the first.</summary>
    [Fact]
    public void The_status_says_what_is_known()
    {
        using DimerSetup setup = new(new DimerOptions { Interval = 2, Displacement = 0.5 });
        DimerStatus none = setup.Dimer.GetStatus();
        Assert.Equal((0, double.NaN, 0.0, false, false), (none.Step, none.Curvature, none.Angle, none.RotationRefused, none.CorrectionSkipped));
        setup.Dimer.Step(setup.Loss.Closure);
        DimerStatus first = setup.Dimer.GetStatus();
        Assert.Equal(1, first.Step);
        Assert.True(double.IsFinite(first.Curvature));
        setup.Dimer.Step(setup.Loss.Closure);
        DimerStatus second = setup.Dimer.GetStatus();

        // No update: the same curvature, but another g.
        Assert.Equal((2, first.Curvature), (second.Step, second.Curvature));
        Assert.NotEqual(first.GradientDotDirection, second.GradientDotDirection);
        double expected = setup.Model.Gradients.Zip(DimerSnapshot.Directions(setup.Dimer), Dot).Sum();
        Assert.Equal(expected, second.GradientDotDirection, 1e-12);

        static double Dot(float[] a, float[] b) => a.Zip(b, (x, y) => (double)x * y).Sum();
    }

    /// <summary>
    /// An update that is not due is refused, or is a whole one: what the dimer asks for then makes it complete.
    /// </summary>
    [Theory]
    [InlineData(RotationAngle.FixedRate)]
    [InlineData(RotationAngle.Optimal)]
    [InlineData(RotationAngle.Conjugate)]
    public void Updates_out_of_turn_are_refused_or_whole(RotationAngle angle)
    {
        using DimerSetup setup = new(
            new DimerOptions { Angle = angle, RotationsPerUpdate = 2, Interval = 5, Displacement = 0.5 });
        setup.Dimer.Step(setup.Loss.Closure);
        long evaluations = setup.Dimer.GradientEvaluations;
        setup.Loss.Closure();
        string before = DimerSnapshot.Of(setup.Dimer);
        if (Record.Exception(setup.Dimer.Displace) is { } refused)
        {
            Assert.IsType<InvalidOperationException>(refused);
            Assert.Equal(before, DimerSnapshot.Of(setup.Dimer));
            return;
        }

        setup.Loss.Closure();
        while (setup.Dimer.NeedsDisplacedGradient)
        {
            setup.Dimer.Displace();
            setup.Loss.Closure();
        }

        setup.Dimer.Step();
        Assert.Equal((angle == RotationAngle.FixedRate ? 2 : 3) + 1, setup.Dimer.GradientEvaluations - evaluations);
    }
}
