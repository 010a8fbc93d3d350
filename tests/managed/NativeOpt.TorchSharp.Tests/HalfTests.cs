using NativeOpt.TorchSharp;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;
using Parameter = TorchSharp.Modules.Parameter;

namespace TorchSharpAdapter;

/// <summary>Parameters of 16 bits, clipping and loss scaling.</summary>
public class HalfTests
{
    [TorchTheory]
    [InlineData(ScalarType.Float16)]
    [InlineData(ScalarType.BFloat16)]
    public void Master_weights_follow_float32(ScalarType type)
    {
        Parameter half = Half(type, 1), single = Single(half);
        using var a = nativeopt.optim.Adam([half], lr: 1e-3, step_options: new StepOptions { MasterWeights = true });
        using var b = optim.Adam([single], lr: 1e-3);
        for (int step = 0; step < 100; step++)
        {
            SetGradients(half, single, step, 1e-3);
            a.step();
            b.step();
        }

        Assert.All(Models.Values(half), static value => Assert.True(float.IsFinite(value)));
        Assert.InRange(Models.RelativeDifference([half], [single]), 0, type == ScalarType.Float16 ? 4e-4 : 3e-3);
        FusedState state = (FusedState)a.state_dict().State[0];
        Assert.InRange(Models.RelativeDifference([state.GetTensor(a.Rule.States.Count)!], [single]), 0, 1e-5);
    }

    [TorchFact]
    public void Float16_without_master_weights_stays_finite()
    {
        Parameter half = Half(ScalarType.Float16, 1), single = Single(half);
        using var a = nativeopt.optim.Adam([half], lr: 1e-2);
        using var b = optim.Adam([single], lr: 1e-2);
        for (int step = 0; step < 20; step++)
        {
            SetGradients(half, single, step, 1e-3);
            a.step();
            b.step();
        }

        Assert.InRange(Models.RelativeDifference([half], [single]), 0, 3e-3);
    }

    [TorchFact]
    public void Bfloat16_states_are_TorchSharps_and_files_go_both_ways()
    {
        Parameter ours = Half(ScalarType.BFloat16, 1), torchs = Half(ScalarType.BFloat16, 1);
        using var a = nativeopt.optim.Adam([ours], lr: 1e-2);
        using var b = optim.Adam([torchs], lr: 1e-2);
        for (int step = 0; step < 10; step++)
        {
            SetGradients(ours, torchs, step, 1);
            a.step();
            b.step();
        }

        TorchSharp.Modules.Adam.State state = (TorchSharp.Modules.Adam.State)a.state_dict().State[0];
        Assert.Equal(ScalarType.BFloat16, state.exp_avg.dtype);
        Assert.InRange(Models.RelativeDifference([ours], [torchs]), 0, 2e-2);
        b.load_state_dict(a.state_dict());
        a.load_state_dict(b.state_dict());
        a.step();
        b.step();
        Assert.Equal(11, state.step);
    }

    [TorchFact]
    public void Bfloat16_states_rounded_at_random_rise_as_float32_does()
    {
        float[] toNearest = SecondMoments(new StepOptions()), random = SecondMoments(new StepOptions { StochasticRoundingStates = true });
        Assert.Equal(random, SecondMoments(new StepOptions { StochasticRoundingStates = true }));
        Assert.NotEqual(
            random, SecondMoments(new StepOptions { StochasticRoundingStates = true, RoundingSeed = 1 }));

        // 1 - 0.999^3000, of gradients that are 1.
        const double Expected = 0.9503;
        Assert.Equal(Expected, random.Average(), 0.02);
        Assert.True(toNearest.Average() < 0.5, "Rounded to nearest, the second moment should have stopped.");

        static float[] SecondMoments(StepOptions options)
        {
            Parameter parameter = nn.Parameter(zeros(512).to(ScalarType.BFloat16));
            using var optimizer = nativeopt.optim.Adam([parameter], lr: 0, beta2: 0.999, step_options: options);
            parameter.grad = ones(512).to(ScalarType.BFloat16);
            for (int step = 0; step < 3000; step++)
            {
                optimizer.step();
            }

            return Models.Values(((TorchSharp.Modules.Adam.State)optimizer.state_dict().State[0]).exp_avg_sq);
        }
    }

    [TorchFact]
    public void A_module_may_mix_types()
    {
        Parameter half = Half(ScalarType.BFloat16, 1), single = Single(half);
        using var optimizer = nativeopt.optim.AdamW([half, single], step_options: new StepOptions { MasterWeights = true });
        using var plain = nativeopt.optim.AdamW([Half(ScalarType.BFloat16, 2), Single(half)]);
        SetGradients(half, single, 1, 1);
        float before = Models.Values(single)[0];
        optimizer.step();
        Assert.NotEqual(before, Models.Values(single)[0]);
        Models.SetGradients(1, [.. plain.parameters().Skip(1)]);
        plain.step();
    }

    [TorchFact]
    public void Masters_are_saved_and_may_begin_anew()
    {
        Parameter a = Half(ScalarType.BFloat16, 1), b = Half(ScalarType.BFloat16, 1);
        StepOptions masters = new() { MasterWeights = true };
        using var first = nativeopt.optim.Adam([a], step_options: masters);
        using var second = nativeopt.optim.Adam([b], step_options: masters);
        for (int step = 0; step < 5; step++)
        {
            SetGradients(a, b, step, 1);
            first.step();
        }

        using MemoryStream file = new();
        first.save_state_dict(new BinaryWriter(file));
        file.Position = 0;
        second.load_state_dict(new BinaryReader(file));
        SetGradients(a, b, 9, 1);

        // The state is there, but not the parameters that belong to it.
        float[] before = Models.Values(b);
        string message = Assert.Throws<InvalidOperationException>(() => second.step()).Message;
        Assert.Contains("reset_master_weights", message, StringComparison.Ordinal);
        Assert.Throws<InvalidOperationException>(() => second.step());
        Assert.Equal(before, Models.Values(b));
        using (no_grad())
        {
            b.copy_(a);
        }

        first.step();
        second.step();
        Assert.Equal(Models.Values(a), Models.Values(b));

        using (no_grad())
        {
            b.fill_(0.5);
        }

        second.reset_master_weights();
        SetGradients(a, b, 10, 1);
        second.step();
        Assert.All(Models.Values(b), static value => Assert.InRange(value, 0.49, 0.51));
        using var none = nativeopt.optim.Adam([a]);
        Assert.Throws<InvalidOperationException>(none.reset_master_weights);
    }

    [TorchFact]
    public void Clipping_within_the_step_is_clip_grad_norm()
    {
        Parameter[] ours = Models.Parameters(1, [50], [20, 3]), torchs = Models.Parameters(1, [50], [20, 3]);
        using var a = nativeopt.optim.SGD(ours, 0.1, step_options: new StepOptions { MaxGradNorm = 1.5, MaxGradValue = 0.2 });
        using var b = optim.SGD(torchs, 0.1);
        for (int step = 0; step < 5; step++)
        {
            Models.SetGradients(step, ours, torchs);
            nn.utils.clip_grad_norm_(torchs, 1.5);
            nn.utils.clip_grad_value_(torchs, 0.2);
            a.step();
            b.step();
            Assert.InRange(a.gradient_status().Norm, 5, 15);
        }

        Assert.InRange(Models.RelativeDifference(ours, torchs), 0, 1e-6);
    }

    [TorchFact]
    public void A_scaler_skips_steps_that_overflow()
    {
        Parameter[] ours = Models.Parameters(1, [50]), expected = Models.Parameters(1, [50]);
        using var a = nativeopt.optim.Adam(ours);
        using var b = optim.Adam(expected);
        GradScaler scaler = new(init_scale: 1024, growth_interval: 3);
        for (int step = 0; step < 6; step++)
        {
            random.manual_seed(step);
            using Tensor weight = torch.randn(50);
            a.zero_grad();
            using Tensor loss = (ours[0] * weight).sum();
            scaler.scale(step == 2 ? loss * double.PositiveInfinity : loss).backward();
            scaler.step(a);
            scaler.update();
            if (step != 2)
            {
                expected[0].grad = weight.clone();
                b.step();
            }
        }

        Assert.InRange(Models.RelativeDifference(ours, expected), 0, 1e-6);
        Assert.Equal(5, ((TorchSharp.Modules.Adam.State)a.state_dict().State[0]).step);
        Assert.Equal(1024, scaler.get_scale()); // halved once, doubled once
    }

    [TorchFact]
    public void A_plain_step_after_a_scaled_one_divides_by_nothing()
    {
        Parameter[] ours = Models.Parameters(1, [50]), expected = Models.Parameters(1, [50]);
        using var a = nativeopt.optim.SGD(ours, 0.1, step_options: new StepOptions { MaxGradValue = 0.5 });
        using var b = nativeopt.optim.SGD(expected, 0.1, step_options: new StepOptions { MaxGradValue = 0.5 });
        GradScaler scaler = new(init_scale: 1024);
        for (int step = 0; step < 4; step++)
        {
            Models.SetGradients(step, ours, expected);
            if (step % 2 == 0)
            {
                using Tensor gradient = ours[0].grad!;
                gradient.mul_(1024);
                scaler.step(a);
                scaler.update();
            }
            else
            {
                a.step();
            }

            b.step();
        }

        Assert.Equal(Models.Values(expected[0]), Models.Values(ours[0]));
    }

    [TorchTheory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_scaler_knows_of_a_step_whatever_became_of_its_optimizer(bool dispose)
    {
        Parameter[] parameters = Models.Parameters(1, [4], [4]), others = Models.Parameters(2, [4]);
        using var optimizer = nativeopt.optim.SGD(parameters[..1], 0.1, 0.9);
        using var source = optim.SGD(others, 0.1, 0.9);
        GradScaler scaler = new(init_scale: 1024, growth_interval: 1);
        Models.SetGradients(1, others);
        source.step();
        parameters[0].grad = full(4, float.PositiveInfinity);
        scaler.step(optimizer);
        if (dispose)
        {
            optimizer.Dispose();
        }
        else
        {
            // The next step takes other states and parameters.
            optimizer.load_state_dict(source.state_dict());
            optimizer.add_param_group(new TorchSharp.Modules.SGD.ParamGroup(parameters[1..], lr: 0.1, momentum: 0.9));
            Models.SetGradients(2, parameters);
            scaler.step(optimizer);
        }

        scaler.update();
        Assert.Equal(512, scaler.get_scale());
        Assert.Throws<InvalidOperationException>(scaler.update);
    }

    [TorchFact]
    public void A_scaler_goes_on_from_what_was_saved()
    {
        GradScaler scaler = new(growth_interval: 3);
        scaler.set_scale(64);
        scaler.set_growth_tracker(2);
        Parameter[] parameters = Models.Parameters(1, [4]);
        using var optimizer = nativeopt.optim.SGD(parameters, 0.1);
        Models.SetGradients(1, parameters);
        scaler.step(optimizer);
        Assert.Equal(2, scaler.get_growth_tracker());
        scaler.update();
        Assert.Equal((128, 0), (scaler.get_scale(), scaler.get_growth_tracker()));
        Assert.Throws<ArgumentOutOfRangeException>(() => scaler.set_scale(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => scaler.set_growth_tracker(-1));
    }

    [TorchFact]
    public void States_that_are_loaded_get_the_type_that_new_ones_have()
    {
        Parameter ours = Half(ScalarType.Float16, 1), torchs = Half(ScalarType.Float16, 1);
        using var a = nativeopt.optim.Adam([ours]);
        using var b = optim.Adam([torchs]);
        SetGradients(torchs, ours, 1, 1);
        b.step();
        a.load_state_dict(b.state_dict());
        a.step();
        TorchSharp.Modules.Adam.State state = (TorchSharp.Modules.Adam.State)a.state_dict().State[0];
        Assert.Equal(ScalarType.Float32, state.exp_avg.dtype);
        Assert.Equal(ScalarType.Float32, state.exp_avg_sq.dtype);
        Assert.Equal(2, state.step);
    }

    private static Parameter Half(ScalarType type, long seed)
    {
        random.manual_seed(seed);
        return nn.Parameter(torch.randn(64).to(type));
    }

    private static Parameter Single(Parameter half) => nn.Parameter(half.detach().to(ScalarType.Float32, copy: true));

    private static void SetGradients(Parameter half, Parameter other, long seed, double scale)
    {
        random.manual_seed(seed);
        using Tensor gradient = (torch.randn(64) * scale).to(half.dtype);
        half.grad = gradient.clone();
        other.grad = gradient.to(other.dtype, copy: true);
    }
}
