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
        Refuse(new GradientOptions { MaxNorm = 1e-39 }, nameof(GradientOptions.MaxNorm));
        Refuse(new GradientOptions { MaxValue = 1e-46 }, nameof(GradientOptions.MaxValue));
        Refuse(new GradientOptions { LossScale = 1e-39, SkipNonFinite = true }, nameof(GradientOptions.LossScale));
        Refuse(new GradientOptions { LossScale = 1e46 }, nameof(GradientOptions.LossScale));
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

    /// <summary>A finite gradient that the division by the loss scale makes infinite is not finite, clipped or not.</summary>
    [Theory]
    [InlineData(null)]
    [InlineData(1.0)]
    public void A_gradient_that_overflows_is_skipped(double? maxNorm)
    {
        using Model model = new(2);
        using Sgd optimizer = new(model.Set);
        optimizer.GradientOptions = new GradientOptions { LossScale = 1e-3, SkipNonFinite = true, MaxNorm = maxNorm };
        (model.Gradients[0][0], model.Gradients[0][1]) = (3e38f, 0);
        (model.Parameters[0][0], model.Parameters[0][1]) = (1, 1);
        optimizer.Step();
        Assert.True(optimizer.GetGradientStatus().Skipped);
        Assert.Equal([1f, 1f], model.Parameters[0]);
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
}
