using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Dimer;

/// <summary>Options out of their range are refused by name, when a dimer is made and when they change.</summary>
public class OptionsTests
{
    private static readonly double[] NotAtLeastZero =
        [double.NaN, -1, -double.Epsilon, double.PositiveInfinity, double.NegativeInfinity, 1e39];

    [Fact]
    public void Values_out_of_range_are_refused()
    {
        foreach (double value in NotAtLeastZero)
        {
            Refuses(nameof(DimerOptions.RotationRate), value, new DimerOptions { RotationRate = value });
            Refuses(nameof(DimerOptions.Alpha), value, new DimerOptions { Alpha = value });
            Refuses(nameof(DimerOptions.Displacement), value, new DimerOptions { Displacement = value });
        }

        // As a float these are 0 or nearly so: nothing would be displaced.
        foreach (double value in new[] { 0, -0.0, 1e-50, 1e-40, double.Epsilon })
        {
            Refuses(nameof(DimerOptions.Displacement), value, new DimerOptions { Displacement = value });
        }

        foreach (int value in new[] { 0, -1, int.MinValue })
        {
            Refuses(nameof(DimerOptions.Interval), (double)value, new DimerOptions { Interval = value });
            Refuses(nameof(DimerOptions.RotationsPerUpdate), (double)value, new DimerOptions { RotationsPerUpdate = value });
        }

        foreach (int value in new[] { -1, 2, int.MaxValue })
        {
            Refuses(nameof(DimerOptions.Scope), (DimerScope)value, new DimerOptions { Scope = (DimerScope)value });
            Refuses(nameof(DimerOptions.Force), (DimerForce)value, new DimerOptions { Force = (DimerForce)value });
            Refuses(nameof(DimerOptions.Rotation), (DimerRotation)value, new DimerOptions { Rotation = (DimerRotation)value });
            RotationAngle angle = (RotationAngle)(value == (int)RotationAngle.Conjugate ? value + 1 : value);
            Refuses(nameof(DimerOptions.Angle), angle, new DimerOptions { Angle = angle });
            Refuses(nameof(DimerOptions.Correction), (DimerCorrection)value, new DimerOptions { Correction = (DimerCorrection)value });
            Refuses(nameof(DimerOptions.Fallback), (DimerFallback)value, new DimerOptions { Fallback = (DimerFallback)value });
        }

        static void Refuses(string name, object value, DimerOptions options)
        {
            using Model model = new(3);
            using Adam optimizer = new(model.Set);
            ArgumentOutOfRangeException exception =
                Snapshot.Unchanged<ArgumentOutOfRangeException>(optimizer, () => _ = new DimerOptimizer(optimizer, options));
            Assert.Equal(("options", value), (exception.ParamName, exception.ActualValue));
            Assert.StartsWith(name + " is ", exception.Message, StringComparison.Ordinal);

            // The refused options did not take the set.
            using DimerOptimizer dimer = new(optimizer);
            exception = DimerSnapshot.Unchanged<ArgumentOutOfRangeException>(dimer, () => dimer.Options = options);
            Assert.Equal(("value", value), (exception.ParamName, exception.ActualValue));
            Assert.StartsWith(name + " is ", exception.Message, StringComparison.Ordinal);
        }
    }

    /// <summary>The bounds themselves, and what only just fits.</summary>
    [Fact]
    public void Values_at_the_bounds_are_fine()
    {
        DimerOptions[] all =
        [
            new() { RotationRate = 0, Alpha = 0, Interval = 1, RotationsPerUpdate = 1, Displacement = 1.1754944e-38 },
            new() { RotationRate = float.MaxValue, Alpha = float.MaxValue, Interval = int.MaxValue, Displacement = float.MaxValue },
            new() { Seed = ulong.MaxValue },
            DimerOptions.Recommended,
        ];
        foreach (DimerOptions options in all)
        {
            using DimerSetup setup = new(options);
            Assert.Same(options, setup.Dimer.Options);
            for (int step = 0; step < 2; step++)
            {
                while (setup.Dimer.NeedsDisplacedGradient)
                {
                    setup.Dimer.Displace();
                }

                setup.Dimer.Step();
            }

            Assert.Equal(2, setup.Optimizer.StepCount);
        }
    }

    [Fact]
    public void The_recommended_ones_are_as_described()
    {
        DimerOptions recommended = DimerOptions.Recommended;
        Assert.Same(recommended, DimerOptions.Recommended);
        Assert.Equal((RotationAngle.Optimal, DimerCorrection.Escape), (recommended.Angle, recommended.Correction));
        Assert.Equal(
            new DimerOptions(),
            recommended with
            {
                Angle = RotationAngle.FixedRate,
                Correction = DimerCorrection.Published,
                Force = DimerForce.Difference,
                Alpha = 5,
                Interval = 10,
                Displacement = null,
            });
        Assert.Equal((2.0, 20, 1e-3), (recommended.Alpha, recommended.Interval, recommended.Displacement!.Value));
    }

    [Fact]
    public void The_scope_cannot_change()
    {
        using DimerSetup setup = new(new DimerOptions { Scope = DimerScope.PerTensor });
        ArgumentException exception = DimerSnapshot.Unchanged<ArgumentException>(
            setup.Dimer, () => setup.Dimer.Options = setup.Dimer.Options with { Scope = DimerScope.Global });
        Assert.Equal("value", exception.ParamName);
        Assert.Contains("Scope is Global", exception.Message, StringComparison.Ordinal);
        Assert.Contains("PerTensor", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Options_change_from_the_next_step_on()
    {
        DimerOptions before = new() { Interval = 1, Displacement = 0.5, RotationRate = 0.3 };
        using DimerSetup changed = new(before);
        using DimerSetup kept = new(before);
        changed.Step(1);
        kept.Step(1);
        Assert.Equal(DimerSnapshot.Of(kept.Dimer), DimerSnapshot.Of(changed.Dimer));
        foreach (DimerOptions after in new[]
        {
            before with { Alpha = 0.5 },
            before with { Rotation = DimerRotation.MaximumCurvature },
            before with { Interval = 3 },
            before with { RotationsPerUpdate = 2 },
            before with { Angle = RotationAngle.Optimal, Correction = DimerCorrection.Escape },
        })
        {
            changed.Dimer.Options = after;
            Assert.Same(after, changed.Dimer.Options);
            changed.Step(2);
            kept.Step(2);
            Assert.NotEqual(Snapshot.Of(kept.Optimizer), Snapshot.Of(changed.Optimizer));
            using MemoryStream stream = new();
            kept.Dimer.Save(stream, includeParameters: true);
            stream.Position = 0;
            changed.Dimer.Load(stream);
            changed.Dimer.Options = before;
            Assert.Equal(DimerSnapshot.Of(kept.Dimer), DimerSnapshot.Of(changed.Dimer));
        }
    }
}
