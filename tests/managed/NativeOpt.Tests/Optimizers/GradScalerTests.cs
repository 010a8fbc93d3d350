using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Optimizers;

public class GradScalerTests
{
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
        Assert.Throws<ArgumentOutOfRangeException>(() => new GradScaler(initialScale: Math.ScaleB(1, 127)));
        Assert.Throws<ArgumentOutOfRangeException>(() => new GradScaler(initialScale: 0.5, minimumScale: 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new GradScaler(minimumScale: Math.ScaleB(1, -127)));
        Assert.Throws<ArgumentOutOfRangeException>(() => new GradScaler(minimumScale: double.NaN));
        GradScaler scaler = new() { Scale = 12, GrowthTracker = 5 };
        Assert.Throws<ArgumentOutOfRangeException>(() => scaler.Scale = scaler.MinimumScale / 2);
        Assert.Throws<ArgumentOutOfRangeException>(() => scaler.Scale = double.MaxValue);
        Assert.Throws<ArgumentOutOfRangeException>(() => scaler.Scale = double.NaN);
        Assert.Throws<ArgumentOutOfRangeException>(() => scaler.GrowthTracker = -1);
        Assert.Throws<ArgumentNullException>(() => scaler.Step((Optimizer)null!));
        Assert.Throws<ArgumentNullException>(() => scaler.Step((DimerOptimizer)null!));
        Assert.Throws<ArgumentNullException>(() => scaler.Step(null!, static () => 0));
        Assert.Throws<ArgumentNullException>(() => scaler.Displace(null!));
        Assert.Equal((12.0, 5), (scaler.Scale, scaler.GrowthTracker));
    }

    /// <summary>
    /// The scale falls to its bound, and there each further skipped step is told. Whatever happened before, a good step is that
    /// of the loss itself.
    /// </summary>
    [Fact]
    public void A_scale_that_keeps_falling_stops_at_its_bound_and_says_so()
    {
        using Model model = new(2);
        using Sgd optimizer = new(model.Set, new SgdOptions { LearningRate = 1 });
        GradScaler scaler = new();
        for (int step = 1; step <= 1100; step++)
        {
            Step([float.PositiveInfinity, 1]);
            if (step <= 30)
            {
                scaler.Update();
                Assert.Equal(65536 * Math.ScaleB(1, -step), scaler.Scale);
                continue;
            }

            NotFiniteNumberException error = Assert.Throws<NotFiniteNumberException>(() => scaler.Update());
            Assert.Contains("the loss or the model is broken", error.Message, StringComparison.Ordinal);
            Assert.Equal((Math.ScaleB(1, -14), 0), (scaler.Scale, scaler.GrowthTracker));
        }

        Assert.Equal(0, optimizer.StepCount);
        Step([0, (float)scaler.Scale]);
        scaler.Update();
        Assert.Equal([0f, -1f], model.Parameters[0]);
        Assert.Equal((Math.ScaleB(1, -14), 1), (scaler.Scale, scaler.GrowthTracker));

        void Step(float[] gradients)
        {
            gradients.CopyTo(model.Gradients[0], 0);
            model.Parameters[0].AsSpan().Clear();
            scaler.Step(optimizer);
        }
    }

    /// <summary>At both ends of its range the scale, and what it divides by, are good floats: w = [1, 1] becomes [0.5, 1].</summary>
    [Theory]
    [InlineData(-126)]
    [InlineData(126)]
    public void A_step_at_a_bound_of_the_scale_is_that_of_the_loss(int exponent)
    {
        using Model model = new(2);
        using Sgd optimizer = new(model.Set, new SgdOptions { LearningRate = 1 });
        GradScaler scaler = new(
            Math.ScaleB(1, exponent), growthFactor: 1e300, backoffFactor: 1e-300, growthInterval: 1,
            minimumScale: Math.ScaleB(1, -126));
        (model.Parameters[0][0], model.Parameters[0][1]) = (1, 1);
        (model.Gradients[0][0], model.Gradients[0][1]) = ((float)Math.ScaleB(0.5, exponent), 0);
        scaler.Step(optimizer);
        Assert.Equal([0.5f, 1], model.Parameters[0]);
        scaler.Update();
        Assert.Equal(Math.ScaleB(1, 126), scaler.Scale); // not infinite, though the factor is 1e300
        model.Gradients[0][0] = float.NaN;
        scaler.Step(optimizer);
        scaler.Update();
        Assert.Equal(Math.ScaleB(1, -126), scaler.Scale); // not 0, though the factor is 1e-300
    }

    [Fact]
    public void A_step_that_throws_is_no_good_step()
    {
        using DimerSetup setup = new(new DimerOptions { Displacement = 0.1 });
        using Model model = new(1);
        using DeviceBuffer<float> parameter = new(Device.Cpu, 1);
        using ParameterSet set = new([TensorRef.FromDeviceBuffer(parameter)]);
        using Sgd withoutGradients = new(set, new SgdOptions());
        GradScaler scaler = new(initialScale: 8, growthInterval: 1);
        Assert.Throws<InvalidOperationException>(() => scaler.Step(withoutGradients));
        Assert.Throws<InvalidOperationException>(() => scaler.Update());
        Assert.Throws<InvalidTimeZoneException>(() => scaler.Step(setup.Dimer, static () => throw new InvalidTimeZoneException()));
        Assert.Throws<InvalidOperationException>(() => scaler.Update());
        Assert.Equal((8.0, 0), (scaler.Scale, scaler.GrowthTracker));
        using Sgd disposed = new(model.Set, new SgdOptions());
        disposed.Dispose();
        Assert.Throws<ObjectDisposedException>(() => scaler.Step(disposed));
        Assert.Throws<InvalidOperationException>(() => scaler.Update());

        // A good step of another optimizer counts all the same.
        using Sgd optimizer = new(model.Set, new SgdOptions());
        scaler.Step(optimizer);
        optimizer.Dispose();
        scaler.Update();
        Assert.Equal(16, scaler.Scale);
    }

    /// <summary>As the remarks of <see cref="GradScaler.Step(Optimizer, DeviceStream)"/> say.</summary>
    [Fact]
    public void A_plain_step_divides_by_the_scale_until_the_options_are_set_anew()
    {
        using Model model = new(1);
        using Sgd optimizer = new(model.Set, new SgdOptions { LearningRate = 1 });
        GradScaler scaler = new(initialScale: 8);
        (model.Parameters[0][0], model.Gradients[0][0]) = (0, 8);
        scaler.Step(optimizer);
        optimizer.Step();
        Assert.Equal(-2, model.Parameters[0][0]);
        optimizer.GradientOptions = null;
        optimizer.Step();
        Assert.Equal(-10, model.Parameters[0][0]);
    }
}
