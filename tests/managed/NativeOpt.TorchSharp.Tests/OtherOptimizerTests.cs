using NativeOpt;
using NativeOpt.TorchSharp;
using NativeOpt.TorchSharp.Modules;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;
using Parameter = TorchSharp.Modules.Parameter;

namespace TorchSharpAdapter;

/// <summary>Optimizers that TorchSharp does not have: the dimer, inputs, groups by name.</summary>
public class OtherOptimizerTests
{
    [TorchTheory]
    [InlineData(DimerScope.Global)]
    [InlineData(DimerScope.PerTensor)]
    public void A_dimer_takes_the_librarys_steps(DimerScope scope)
    {
        DimerOptions options = DimerOptions.Recommended with { Scope = scope, Interval = 3 };
        Parameter parameter = Models.Parameters(1, [40])[0];
        float[] values = Models.Values(parameter), gradient = new float[40];
        using FusedOptimizer optimizer = nativeopt.optim.AdamW([parameter], lr: 1e-2);
        using Dimer dimer = nativeopt.optim.Dimer(optimizer, options);
        using ParameterSet set = ParameterSet.FromArrays([values], [gradient]);
        using var native = new NativeOpt.AdamW(set, new AdamWOptions { LearningRate = 1e-2, WeightDecay = 0 });
        using DimerOptimizer reference = new(native, options);
        int evaluations = 0;
        for (int step = 0; step < 10; step++)
        {
            using Tensor? loss = dimer.step(() =>
            {
                evaluations++;
                dimer.zero_grad();
                Tensor loss = (parameter.pow(4) - parameter.pow(2)).sum();
                loss.backward();
                return loss;
            });
            using Tensor copy = tensor(values);
            float expected = reference.Step(() =>
            {
                using Tensor at = tensor(values, requires_grad: true);
                using Tensor loss = (at.pow(4) - at.pow(2)).sum();
                loss.backward();
                using Tensor g = at.grad!;
                Models.Values(g).CopyTo(gradient, 0);
                return loss.item<float>();
            });
            Assert.Equal(expected, loss!.item<float>());
        }

        Assert.Equal(values, Models.Values(parameter));
        Assert.Equal(reference.GradientEvaluations, evaluations);
        Assert.True(evaluations > 10, "The dimer asked for no more gradients.");
        Assert.Equal(reference.GetStatus().Curvature, dimer.status().Curvature);
        Assert.Throws<ArgumentNullException>(() => dimer.step());
    }

    [TorchFact]
    public void A_dimer_follows_schedulers_groups_and_files()
    {
        Parameter[] parameters = Models.Parameters(1, [6], [6]);
        using var optimizer = nativeopt.optim.Adam(parameters[..1], lr: 1e-2);
        using var dimer = nativeopt.optim.Dimer(optimizer, DimerOptions.Recommended);
        var schedule = optim.lr_scheduler.StepLR(dimer, 1, 0.5);
        Step(1);
        schedule.step();
        Assert.Equal(5e-3, optimizer.ParamGroups.First().LearningRate);
        dimer.add_param_group(new TorchSharp.Modules.Adam.ParamGroup(parameters[1..], lr: 1e-3));
        Step(2);
        Assert.Equal([2L, 1L], Counts());
        using MemoryStream file = new();
        dimer.save_state_dict(new BinaryWriter(file));
        Step(2);
        file.Position = 0;
        dimer.load_state_dict(new BinaryReader(file));
        Step(2);
        Assert.Equal([3L, 2L], Counts());

        void Step(int count) => dimer.step(() =>
        {
            dimer.zero_grad();
            Tensor loss = parameters[..count].Select(static p => p.pow(4).sum()).Aggregate(static (a, b) => a + b);
            loss.backward();
            return loss;
        })!.Dispose();

        IEnumerable<long> Counts() => optimizer.state_dict().State.Select(static state => ((TorchSharp.Modules.Adam.State)state).step);
    }

    [TorchFact]
    public void A_dimer_moves_states_names_what_has_no_gradient_and_ends()
    {
        Parameter[] parameters = Models.Parameters(1, [6], [6]);
        using var optimizer = nativeopt.optim.Adam([("used", parameters[0]), ("unused", parameters[1])]);
        using var dimer = nativeopt.optim.Dimer(optimizer);
        dimer.to(CPU);
        float[] before = Models.Values(parameters[0]);
        string message = Assert.Throws<InvalidOperationException>(() => dimer.step(() => Loss(1))).Message;
        Assert.Contains("\"unused\"", message, StringComparison.Ordinal);
        Assert.Equal(before, Models.Values(parameters[0]));
        dimer.step(() => Loss(2))!.Dispose();
        dimer.to(CPU);
        dimer.step(() => Loss(2))!.Dispose();
        Assert.NotEqual(before, Models.Values(parameters[0]));

        dimer.Dispose();
        Assert.Throws<ObjectDisposedException>(() => dimer.step(() => Loss(2)));
        Assert.Throws<ObjectDisposedException>(() => dimer.status());
        optimizer.step();
        Assert.Equal([3L, 3L], optimizer.state_dict().State.Select(static state => ((TorchSharp.Modules.Adam.State)state).step));

        Tensor Loss(int count)
        {
            optimizer.zero_grad();
            Tensor loss = parameters[..count].Select(static p => p.pow(4).sum()).Aggregate(static (a, b) => a + b);
            loss.backward();
            return loss;
        }
    }

    [TorchTheory]
    [InlineData(DimerFallback.StepWithoutUpdate)]
    [InlineData(DimerFallback.NoStep)]
    public void A_displaced_loss_that_is_not_finite_is_told_unless_the_step_was_taken(DimerFallback fallback)
    {
        Parameter parameter = Models.Parameters(1, [6])[0], alone = Models.Parameters(1, [6])[0];
        float[] before = Models.Values(parameter);
        using FusedOptimizer optimizer = nativeopt.optim.SGD([parameter], 0.1), plain = nativeopt.optim.SGD([alone], 0.1);
        using Dimer dimer = nativeopt.optim.Dimer(optimizer, DimerOptions.Recommended with { Fallback = fallback });
        int evaluations = 0;
        using Tensor loss = dimer.step(() =>
        {
            dimer.zero_grad();
            Tensor value = parameter.pow(2).sum() * (evaluations++ == 0 ? 1 : float.PositiveInfinity);
            value.backward();
            return value;
        })!;
        alone.pow(2).sum().backward();
        plain.step();
        Assert.Equal(2, evaluations);
        Assert.Equal(fallback == DimerFallback.StepWithoutUpdate, float.IsFinite(loss.item<float>()));
        Assert.Equal(fallback == DimerFallback.StepWithoutUpdate ? Models.Values(alone) : before, Models.Values(parameter));
    }

    [TorchFact]
    public void A_rule_that_needs_more_than_gradients_is_refused()
    {
        Parameter[] parameters = Models.Parameters(1, [3]);
        Assert.Contains(
            "NativeOpt.Swats", Assert.Throws<ArgumentException>(() => nativeopt.optim.Rule("swats", parameters)).Message,
            StringComparison.Ordinal);
    }

    [TorchFact]
    public void Sophia_takes_a_Hessian_for_one_step()
    {
        Parameter[] parameters = Models.Parameters(1, [8], [4, 3]);
        float[][] values = [.. parameters.Select(Models.Values)];
        float[][] gradients = [new float[8], new float[12]], hessians = [new float[8], new float[12]];
        using var optimizer = nativeopt.optim.Sophia(parameters);
        using ParameterSet set = ParameterSet.FromArrays(values, gradients);
        using var reference = new NativeOpt.Sophia(set);
        for (int step = 0; step < 6; step++)
        {
            Models.SetGradients(step, parameters);
            for (int i = 0; i < parameters.Length; i++)
            {
                using Tensor gradient = parameters[i].grad!;
                Models.Values(gradient).CopyTo(gradients[i], 0);
                if (step % 3 == 0)
                {
                    random.manual_seed(100 + step + i);
                    using Tensor hessian = torch.rand(parameters[i].shape);
                    optimizer.set_hessian(parameters[i], hessian);
                    Models.Values(hessian).CopyTo(hessians[i], 0);
                }
            }

            optimizer.step();
            Reference(step % 3 == 0);
        }

        Assert.All(parameters.Zip(values), static pair => Assert.Equal(pair.Second, Models.Values(pair.First)));
        Assert.Throws<ArgumentException>(() => optimizer.set_hessian(parameters[0], ones(3)));
        Assert.Throws<ArgumentException>(() => optimizer.set_hessian(nn.Parameter(ones(8)), ones(8)));
        Assert.Throws<ArgumentException>(() => optimizer.set_input("curvature", parameters[0], ones(8)));

        unsafe void Reference(bool withHessian)
        {
            fixed (float* a = hessians[0], b = hessians[1])
            {
                if (withHessian)
                {
                    reference.SetHessian([(nint)a, (nint)b]);
                }

                reference.Step();
                reference.ClearHessian();
            }
        }
    }

    [TorchFact]
    public void Groups_by_name_have_options_of_their_own()
    {
        Parameter[] parameters = Models.Parameters(1, [8], [8]);
        float[] first = Models.Values(parameters[0]), second = Models.Values(parameters[1]);
        using var optimizer = nativeopt.optim.DualAdam(
            [
                new FusedParamGroup(parameters[..1]),
                new FusedParamGroup(parameters[1..], new FusedOptions { LearningRate = 0, ["beta1"] = 0.5 }),
            ],
            lr: 0.1);
        Models.SetGradients(1, parameters);
        optimizer.step();
        Assert.NotEqual(first, Models.Values(parameters[0]));
        Assert.Equal(second, Models.Values(parameters[1]));
        Assert.Equal(
            [0.9, 0.5], optimizer.ParamGroups.Select(static group => ((optim.IBetas)group).Betas.Item1));
        Assert.Throws<ArgumentException>(
            () => optimizer.add_param_group(
                new FusedParamGroup(Models.Parameters(2, [3]), new FusedOptions { ["gamma"] = 1 })));
    }
}
