using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Dimer;

/// <summary>The arithmetic itself is tested natively: here that options and scalers get there.</summary>
public class DimerGradientOptionsTests
{
    private static readonly DimerOptions Options = new() { Interval = 2, Displacement = 0.5, RotationRate = 0.4 };

    [Theory]
    [InlineData(RotationAngle.FixedRate)]
    [InlineData(RotationAngle.Optimal)]
    [InlineData(RotationAngle.Conjugate)]
    public void A_scaled_loss_takes_the_same_steps(RotationAngle angle)
    {
        using DimerSetup plain = new(Options with { Angle = angle });
        using DimerSetup byClosure = new(Options with { Angle = angle });
        using DimerSetup byHost = new(Options with { Angle = angle });
        GradScaler scaler = new(initialScale: 1024, growthInterval: 2);
        for (int step = 0; step < 4; step++)
        {
            float loss = plain.Loss.Closure();
            Assert.Equal(loss, plain.Dimer.Step(plain.Loss.Closure));
            Assert.Equal(loss, scaler.Step(byClosure.Dimer, () => Scaled(byClosure, scaler.Scale)));

            Scaled(byHost, scaler.Scale);
            while (byHost.Dimer.NeedsDisplacedGradient)
            {
                scaler.Displace(byHost.Dimer);
                Scaled(byHost, scaler.Scale);
            }

            scaler.Step(byHost.Dimer);
            scaler.Update();
        }

        Assert.Equal(4096, scaler.Scale);
        Assert.Equal(DimerSnapshot.Of(plain.Dimer), DimerSnapshot.Of(byClosure.Dimer));
        Assert.Equal(DimerSnapshot.Of(plain.Dimer), DimerSnapshot.Of(byHost.Dimer));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A_gradient_that_overflows_skips_the_step_and_lowers_the_scale(int badEvaluation)
    {
        using DimerSetup setup = new(Options);
        GradScaler scaler = new(initialScale: 64);
        setup.Step(2);
        string before = Snapshot.Of(setup.Optimizer);
        float[][] direction = DimerSnapshot.Directions(setup.Dimer);
        DimerStatus status = setup.Dimer.GetStatus();
        int evaluations = 0;
        scaler.Step(setup.Dimer, () =>
        {
            float loss = Scaled(setup, scaler.Scale);
            evaluations++;
            if (evaluations == badEvaluation)
            {
                setup.Model.Gradients[3][8] = float.PositiveInfinity;
            }

            return loss;
        });
        scaler.Update();
        Assert.Equal(2, evaluations);
        Assert.Equal(32, scaler.Scale);
        Assert.Equal((true, 1L), (setup.Optimizer.GetGradientStatus().Skipped, setup.Optimizer.GetGradientStatus().SkippedSteps));
        Assert.False(setup.Dimer.IsDisplaced);
        Assert.Equal(before, Snapshot.Of(setup.Optimizer));
        Assert.Equal(direction, DimerSnapshot.Directions(setup.Dimer));
        Assert.Equal(status, setup.Dimer.GetStatus());
        Assert.Equal((3L, 2L), (setup.Dimer.StepCount, setup.Optimizer.StepCount));
    }

    [Fact]
    public void A_loss_that_is_not_finite_lowers_the_scale()
    {
        using DimerSetup setup = new(Options);
        GradScaler scaler = new(initialScale: 64);
        Assert.True(float.IsNaN(scaler.Step(setup.Dimer, static () => float.NaN)));
        scaler.Update();
        Assert.Equal(32, scaler.Scale);
        scaler.Step(setup.Dimer, () => Scaled(setup, scaler.Scale));
        scaler.Update();
        Assert.Equal((32.0, 1), (scaler.Scale, scaler.GrowthTracker));
    }

    [Fact]
    public void What_the_rule_gets_is_clipped()
    {
        using Model model = new(2);
        using Sgd optimizer = new(model.Set, new SgdOptions { LearningRate = 1 });
        using DimerOptimizer dimer = new(optimizer, new DimerOptions { Interval = 5, Displacement = 0.5, Alpha = 3 });
        optimizer.GradientOptions = new GradientOptions { MaxNorm = 1, MaxValue = 0.5, LossScale = 10 };
        (model.Parameters[0][0], model.Parameters[0][1]) = (0, 0);

        // The same gradient everywhere: no curvature, and no rotation.
        dimer.Step(() =>
        {
            (model.Gradients[0][0], model.Gradients[0][1]) = (30, -40);
            return 0;
        });
        GradientStatus status = optimizer.GetGradientStatus();
        Assert.Equal(5, status.Norm, 12);
        Assert.Equal(1 / (5 + 1e-6), status.ClipCoefficient, 12);
        float[] n = [.. Snapshot.Values(dimer.GetDirection(0))];
        double along = (3 * n[0]) - (4 * n[1]);
        Assert.Equal(along, dimer.GetStatus().GradientDotDirection, 5);
        for (int i = 0; i < 2; i++)
        {
            double corrected = status.ClipCoefficient * ((i == 0 ? 3 : -4) - (3 * along * n[i]));
            Assert.Equal(-Math.Clamp(corrected, -0.5, 0.5), model.Parameters[0][i], 5);
        }
    }

    [Fact]
    public void The_scale_of_an_update_stays()
    {
        using DimerSetup setup = new(Options with { Angle = RotationAngle.Optimal });
        GradScaler scaler = new(initialScale: 64);
        Scaled(setup, scaler.Scale);
        scaler.Displace(setup.Dimer);
        Scaled(setup, scaler.Scale);
        scaler.Displace(setup.Dimer);
        Scaled(setup, scaler.Scale);
        scaler.Scale = 8;
        var error = Assert.Throws<InvalidOperationException>(() => scaler.Step(setup.Dimer));
        Assert.Contains("loss_scale", error.Message, StringComparison.Ordinal);
        scaler.Scale = 64;
        scaler.Step(setup.Dimer);
        Assert.Equal(1, setup.Optimizer.StepCount);
    }

    /// <summary>Evaluates the loss, with the gradients of the scaled one.</summary>
    private static float Scaled(DimerSetup setup, double scale)
    {
        float loss = setup.Loss.Closure();
        foreach (float[] gradients in setup.Model.Gradients)
        {
            for (int i = 0; i < gradients.Length; i++)
            {
                gradients[i] *= (float)scale;
            }
        }

        return loss;
    }
}
