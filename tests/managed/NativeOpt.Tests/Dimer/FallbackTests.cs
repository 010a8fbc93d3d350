using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Dimer;

/// <summary>Updates whose loss at displaced parameters is not finite, and displacements that follow from the learning rate.</summary>
public class FallbackTests
{
    private static readonly DimerOptions Options =
        new() { Interval = 2, Displacement = 0.5, RotationRate = 0.4, RotationsPerUpdate = 2, Alpha = 3 };

    public static TheoryData<RotationAngle, int, float, bool, bool> Cases
    {
        get
        {
            TheoryData<RotationAngle, int, float, bool, bool> cases = [];
            foreach (RotationAngle angle in Enum.GetValues<RotationAngle>())
            {
                for (int evaluation = 2; evaluation <= 3 + (angle == RotationAngle.FixedRate ? 0 : 1); evaluation++)
                {
                    cases.Add(angle, evaluation, float.NaN, false, false);
                    cases.Add(angle, evaluation, float.PositiveInfinity, true, false);
                    cases.Add(angle, evaluation, float.NegativeInfinity, false, true);
                }
            }

            return cases;
        }
    }

    /// <summary>The step is the one that the optimizer takes by itself, bit for bit, and the dimer goes on after it.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void The_optimizer_takes_its_own_step(
        RotationAngle angle, int evaluation, float bad, bool isCapturable, bool hasDisplacedGradients)
    {
        using DimerSetup setup = new(Options with { Angle = angle });
        using DimerSetup twin = new(Options with { Angle = angle });
        float[][] displaced = [.. DimerSetup.Sizes.Select(static size => GC.AllocateArray<float>(size, pinned: true))];
        if (hasDisplacedGradients)
        {
            setup.Dimer.SetDisplacedGradients(
                [.. displaced.Select(static values => TensorRef.FromPointer(AddressOf(values), values.Length))]);
        }

        setup.Optimizer.GradientOptions = new GradientOptions { SkipNonFinite = true };
        setup.Optimizer.SetCapturable(isCapturable);
        Step(0);
        twin.Loss.Closure();
        twin.Optimizer.Step();
        setup.Model.Parameters.Zip(twin.Model.Parameters).ToList().ForEach(static pair => pair.First.CopyTo(pair.Second, 0));
        Assert.Equal((0L, false), (setup.Dimer.LostUpdates, setup.Dimer.GetStatus().UpdateLost));
        Step(0); // No update is due.
        twin.Loss.Closure();
        float[][] gradients = [.. twin.Model.Gradients.Select(static own => own.ToArray())];
        twin.Optimizer.Step();

        // The third step updates; the first two were other ones than the twin's own.
        using MemoryStream file = new();
        twin.Optimizer.Save(file, includeParameters: true);
        file.Position = 0;
        setup.Optimizer.Load(file);
        float expectedLoss = twin.Loss.Closure();
        gradients = [.. twin.Model.Gradients.Select(static own => own.ToArray())];
        twin.Optimizer.Step();
        long evaluations = setup.Dimer.GradientEvaluations;
        Assert.Equal(expectedLoss, Step(evaluation));
        Assert.Equal(twin.Model.Parameters, setup.Model.Parameters);
        Assert.Equal(Snapshot.Of(twin.Optimizer), Snapshot.Of(setup.Optimizer));
        Assert.Equal(gradients, setup.Model.Gradients);
        Assert.Equal(
            (1L, 3L, 3L, evaluations + evaluation),
            (setup.Dimer.LostUpdates, setup.Dimer.StepCount, setup.Optimizer.StepCount, setup.Dimer.GradientEvaluations));
        DimerStatus status = setup.Dimer.GetStatus();
        Assert.Equal((true, false), (status.UpdateLost, status.RotationRefused));
        Assert.False(setup.Dimer.IsDisplaced);

        // The next update comes after the interval, and can be whole again.
        Step(0);
        Assert.False(setup.Dimer.GetStatus().UpdateLost);
        Assert.True(setup.Dimer.NeedsDisplacedGradient);
        Step(0);
        Assert.Equal((1L, 5L), (setup.Dimer.LostUpdates, setup.Optimizer.StepCount));

        float Step(int failing)
        {
            int calls = 0;
            return setup.Dimer.Step(() =>
            {
                calls++;
                float[][] kept = [.. setup.Model.Gradients.Select(static own => own.ToArray())];
                float loss = setup.Loss.Closure();
                if (calls > 1 && hasDisplacedGradients)
                {
                    for (int tensor = 0; tensor < kept.Length; tensor++)
                    {
                        setup.Model.Gradients[tensor].CopyTo(displaced[tensor], 0);
                        kept[tensor].CopyTo(setup.Model.Gradients[tensor], 0);
                    }
                }

                if (calls == failing)
                {
                    Array.ForEach(hasDisplacedGradients ? displaced : setup.Model.Gradients, own => own.AsSpan().Fill(bad));
                    return bad;
                }

                return loss;
            });
        }
    }

    [Fact]
    public void A_loss_that_is_never_finite_away_from_the_parameters_does_not_end_the_training()
    {
        using DimerSetup setup = new(Options with { Interval = 1 });
        float before = setup.Loss.Closure();
        for (int step = 1; step <= 20; step++)
        {
            int calls = 0;
            Assert.True(float.IsFinite(setup.Dimer.Step(() => ++calls == 1 ? setup.Loss.Closure() : float.NaN)));
            Assert.Equal((step, step), (setup.Dimer.LostUpdates, setup.Optimizer.StepCount));
        }

        Assert.True(setup.Loss.Closure() < before);
    }

    [Fact]
    public void A_scaler_takes_a_step_without_an_update_as_a_good_one()
    {
        using DimerSetup setup = new(Options);
        GradScaler scaler = new(initialScale: 1);
        int calls = 0;
        scaler.Step(setup.Dimer, () => ++calls == 1 ? setup.Loss.Closure() : float.NaN);
        scaler.Update();
        Assert.Equal((1.0, 1, 1L, 1L), (scaler.Scale, scaler.GrowthTracker, setup.Optimizer.StepCount, setup.Dimer.LostUpdates));
    }

    /// <summary>A warm-up from 0 displaces all the same.</summary>
    [Theory]
    [InlineData(0, 1e-4)]
    [InlineData(1e-30, 1e-4)]
    [InlineData(1e-5, 1e-4)]
    [InlineData(2e-5, 2e-4)]
    [InlineData(0.03, 0.3)]
    [InlineData(1e22, 1e23)]
    public void A_displacement_that_is_left_out_has_a_floor(double learningRate, double expected)
    {
        using DimerSetup setup = new();
        setup.Optimizer.LearningRate = learningRate;
        Array.ForEach(setup.Model.Parameters, static own => own.AsSpan().Clear());
        setup.Loss.Closure();
        setup.Dimer.Displace();
        double square = setup.Model.Parameters.Sum(static own => own.Sum(static value => (double)value * value));
        Assert.Equal(expected, Math.Sqrt(square), 1e-6 * expected);
        setup.Dimer.Restore();
        setup.Optimizer.LearningRate = Math.Min(learningRate, 1);
        setup.Step(11);
        Assert.Equal(11, setup.Optimizer.StepCount);
    }

    private static unsafe nint AddressOf(float[] pinned) =>
        (nint)System.Runtime.CompilerServices.Unsafe.AsPointer(
            ref System.Runtime.InteropServices.MemoryMarshal.GetArrayDataReference(pinned));
}
