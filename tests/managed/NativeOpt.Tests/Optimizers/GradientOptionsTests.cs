using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Optimizers;

public class GradientOptionsTests
{
    // The arithmetic itself is tested natively, with every rule: here that the options get there.
    [Fact]
    public void Gradients_are_unscaled_and_clipped_by_their_norm()
    {
        using Model model = new(2);
        using Sgd optimizer = new(model.Set, new SgdOptions { LearningRate = 1 });
        optimizer.GradientOptions = new GradientOptions { MaxNorm = 1, LossScale = 10 };
        (model.Gradients[0][0], model.Gradients[0][1]) = (30, -40);
        (model.Parameters[0][0], model.Parameters[0][1]) = (0, 0);
        optimizer.Step();
        GradientStatus status = optimizer.GetGradientStatus();
        Assert.Equal(5, status.Norm, 12);
        Assert.Equal(1 / (5 + 1e-6), status.ClipCoefficient, 12);
        Assert.Equal(-0.6f, model.Parameters[0][0], 6);
        Assert.Equal(0.8f, model.Parameters[0][1], 6);
    }

    [Fact]
    public void Elements_are_clipped()
    {
        using Model model = new(2);
        using Sgd optimizer = new(model.Set, new SgdOptions { LearningRate = 1 });
        optimizer.GradientOptions = new GradientOptions { MaxValue = 0.5 };
        (model.Gradients[0][0], model.Gradients[0][1]) = (30, -0.25f);
        (model.Parameters[0][0], model.Parameters[0][1]) = (0, 0);
        optimizer.Step();
        Assert.Equal([-0.5f, 0.25f], model.Parameters[0]);
        optimizer.GradientOptions = null;
        optimizer.Step();
        Assert.Equal([-30.5f, 0.5f], model.Parameters[0]);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void A_step_with_a_gradient_that_is_not_finite_is_skipped(float bad)
    {
        using Model model = new(3, 20_000);
        using Adam optimizer = new(model.Set);
        optimizer.GradientOptions = new GradientOptions { SkipNonFinite = true };
        optimizer.Step();
        float[][] before = [.. model.Parameters.Select(static values => values.ToArray())];
        model.Gradients[1][19_999] = bad;
        optimizer.Step();
        Assert.Equal(before, model.Parameters);
        Assert.Equal(1, optimizer.StepCount);
        Assert.Equal((true, 1L), (optimizer.GetGradientStatus().Skipped, optimizer.GetGradientStatus().SkippedSteps));
        model.SetGradients(1);
        optimizer.Step();
        Assert.Equal(2, optimizer.StepCount);
        Assert.Equal((false, 1L), (optimizer.GetGradientStatus().Skipped, optimizer.GetGradientStatus().SkippedSteps));
    }

    [Fact]
    public void Values_out_of_range_are_named_and_change_nothing()
    {
        using Model model = new(2);
        using Adam optimizer = new(model.Set);
        GradientOptions good = new() { MaxNorm = 1 };
        optimizer.GradientOptions = good;
        Refuse(new GradientOptions { MaxNorm = 0 }, nameof(GradientOptions.MaxNorm));
        Refuse(new GradientOptions { MaxNorm = double.NaN }, nameof(GradientOptions.MaxNorm));
        Refuse(new GradientOptions { MaxValue = -1 }, nameof(GradientOptions.MaxValue));
        Refuse(new GradientOptions { MaxValue = 1e39 }, nameof(GradientOptions.MaxValue));
        Refuse(new GradientOptions { LossScale = 0 }, nameof(GradientOptions.LossScale));
        Refuse(new GradientOptions { LossScale = double.PositiveInfinity }, nameof(GradientOptions.LossScale));
        Assert.Same(good, optimizer.GradientOptions);
        Assert.Equal(new GradientStatus(false, 0, 0, 1), optimizer.GetGradientStatus());

        void Refuse(GradientOptions options, string name)
        {
            var error = Assert.Throws<ArgumentOutOfRangeException>(() => optimizer.GradientOptions = options);
            Assert.Contains(name, error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void The_loss_scale_is_set_where_it_is()
    {
        using Model model = new(2);
        using Sgd optimizer = new(model.Set, new SgdOptions { LearningRate = 1 });
        optimizer.GradientOptions = new GradientOptions { MaxValue = 2 };
        (model.Gradients[0][0], model.Gradients[0][1]) = (8, 4);
        (model.Parameters[0][0], model.Parameters[0][1]) = (0, 0);
        optimizer.SetLossScale(8);
        optimizer.Step();
        Assert.Equal([-1f, -0.5f], model.Parameters[0]);
        optimizer.SetCapturable(true);
        optimizer.SetLossScale(16);
        optimizer.Step();
        optimizer.SetLossScale(4);
        optimizer.Step();
        Assert.Equal([-3.5f, -1.75f], model.Parameters[0]);
        Assert.Equal(new GradientOptions { MaxValue = 2, LossScale = 4 }, optimizer.GradientOptions);
        Assert.Throws<ArgumentOutOfRangeException>(() => optimizer.SetLossScale(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => optimizer.SetLossScale(double.PositiveInfinity));
        optimizer.SetCapturable(false);
        optimizer.Step();
        Assert.Equal([-5.5f, -2.75f], model.Parameters[0]);
    }

    [Fact]
    public void The_scale_follows_the_rules_of_torch()
    {
        using Model model = new(4);
        using Sgd optimizer = new(model.Set, new SgdOptions { LearningRate = 1 });
        GradScaler scaler = new(initialScale: 64, growthFactor: 4, backoffFactor: 0.25, growthInterval: 3);

        // Good and bad steps, and the scale after each.
        (bool Good, double Scale, int Tracker)[] steps =
        [
            (true, 64, 1), (true, 64, 2), (true, 256, 0), (true, 256, 1), (false, 64, 0), (false, 16, 0), (true, 16, 1),
            (true, 16, 2), (true, 64, 0),
        ];
        int good = 0;
        foreach ((bool isGood, double scale, int tracker) in steps)
        {
            float[] before = [.. model.Parameters[0]];
            Array.Fill(model.Gradients[0], isGood ? (float)scaler.Scale * 0.5f : float.NegativeInfinity);
            scaler.Step(optimizer);
            scaler.Update();
            Assert.Equal((scale, tracker), (scaler.Scale, scaler.GrowthTracker));
            Assert.Equal(isGood ? [.. before.Select(static value => value - 0.5f)] : before, model.Parameters[0]);
            good += isGood ? 1 : 0;
            Assert.Equal(good, optimizer.StepCount);
        }
    }

    [Fact]
    public void A_scaler_knows_of_a_skipped_step_after_its_optimizer_is_disposed_of()
    {
        using Model model = new(1);
        GradScaler scaler = new(initialScale: 8);
        using (Sgd optimizer = new(model.Set))
        {
            model.Gradients[0][0] = float.NaN;
            scaler.Step(optimizer);
        }

        scaler.Update();
        Assert.Equal(4, scaler.Scale);
        Assert.Throws<InvalidOperationException>(() => scaler.Update());
    }

    [Fact]
    public void A_scaler_keeps_the_other_options_and_serves_several_optimizers()
    {
        using Model first = new(1);
        using Model second = new(1);
        using Sgd a = new(first.Set);
        using Sgd b = new(second.Set);
        GradScaler scaler = new(initialScale: 8);
        a.GradientOptions = new GradientOptions { MaxNorm = 3 };
        scaler.Step(a);
        second.Gradients[0][0] = float.NaN;
        scaler.Step(b);
        Assert.Equal(new GradientOptions { MaxNorm = 3, LossScale = 8, SkipNonFinite = true }, a.GradientOptions);
        scaler.Update();
        Assert.Equal(4, scaler.Scale);
        Assert.Equal((1L, 0L), (a.StepCount, b.StepCount));
        Assert.Throws<InvalidOperationException>(() => scaler.Update());
    }

    [Fact]
    public void A_scaler_refuses_what_makes_no_sense()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new GradScaler(initialScale: 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => new GradScaler(growthFactor: 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new GradScaler(growthFactor: double.NaN));
        Assert.Throws<ArgumentOutOfRangeException>(() => new GradScaler(backoffFactor: 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new GradScaler(backoffFactor: 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => new GradScaler(growthInterval: 0));
        GradScaler scaler = new() { Scale = 12, GrowthTracker = 5 };
        Assert.Throws<ArgumentOutOfRangeException>(() => scaler.Scale = double.NaN);
        Assert.Throws<ArgumentOutOfRangeException>(() => scaler.GrowthTracker = -1);
        Assert.Throws<ArgumentNullException>(() => scaler.Step((Optimizer)null!));
        Assert.Throws<ArgumentNullException>(() => scaler.Step((DimerOptimizer)null!));
        Assert.Throws<ArgumentNullException>(() => scaler.Step(null!, static () => 0));
        Assert.Throws<ArgumentNullException>(() => scaler.Displace(null!));
        Assert.Equal((12.0, 5), (scaler.Scale, scaler.GrowthTracker));
    }
}
