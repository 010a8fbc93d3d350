using NativeOpt.TorchSharp;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;
using Parameter = TorchSharp.Modules.Parameter;

namespace TorchSharpAdapter;

/// <summary>Layouts, types and lifetimes of parameters and gradients that are not the usual ones.</summary>
public class TrapTests
{
    [TorchTheory]
    [InlineData("transposed")]
    [InlineData("channels_last")]
    public void A_dense_parameter_may_have_any_order_of_dimensions(string layout)
    {
        Parameter ours = Make(), torchs = Make();
        Assert.False(ours.is_contiguous());
        using var a = nativeopt.optim.AdamW([ours]);
        using var b = optim.AdamW([torchs]);
        for (int step = 0; step < 5; step++)
        {
            Parameter[] both = [ours, torchs];
            foreach (Parameter parameter in both)
            {
                // The gradient that backward makes has the parameter's strides.
                random.manual_seed(step);
                a.zero_grad();
                b.zero_grad();
                using Tensor weight = torch.randn(parameter.shape);
                using Tensor loss = (parameter * weight).sum();
                loss.backward();
                (ReferenceEquals(parameter, ours) ? a : (optim.Optimizer)b).step();
            }
        }

        Assert.InRange(Models.RelativeDifference([ours], [torchs]), 0, 1e-6);

        Parameter Make()
        {
            random.manual_seed(1);
            return nn.Parameter(
                layout == "transposed"
                    ? torch.randn(6, 4).t()
                    : torch.randn(2, 5, 5, 3).permute(0, 3, 1, 2));
        }
    }

    [TorchTheory]
    [InlineData("transposed")]
    [InlineData("expanded")]
    [InlineData("sliced")]
    [InlineData("float64")]
    public void A_gradient_that_lies_otherwise_is_copied(string layout)
    {
        Parameter ours = Models.Parameters(1, [6, 6])[0];
        Parameter torchs = Models.Parameters(1, [6, 6])[0];
        using var a = nativeopt.optim.SGD([ours], 0.1);
        for (int step = 0; step < 3; step++)
        {
            random.manual_seed(step);
            using Tensor gradient = layout switch
            {
                "transposed" => torch.randn(6, 6).t(),
                "expanded" => torch.randn(6, 1).expand(6, 6),
                "sliced" => torch.randn(6, 12)[TensorIndex.Colon, TensorIndex.Slice(0, 12, 2)],
                _ => torch.randn(6, 6, dtype: ScalarType.Float64),
            };
            ours.grad = gradient.alias();
            a.step();
            using IDisposable scope = NewDisposeScope();
            using (no_grad())
            {
                torchs.sub_(gradient.to(ScalarType.Float32) * 0.1);
            }
        }

        Assert.InRange(Models.RelativeDifference([ours], [torchs]), 0, 1e-6);
    }

    [TorchFact]
    public void A_sparse_gradient_is_no_frozen_parameter()
    {
        using var sparse = nn.Embedding(10, 4, sparse: true);
        using var dense = nn.Embedding(10, 4);
        using (no_grad())
        {
            dense.weight!.copy_(sparse.weight!);
        }

        using var a = nativeopt.optim.SGD(sparse.parameters(), 0.1);
        using var b = optim.SGD(dense.parameters(), 0.1);
        for (int step = 0; step < 4; step++)
        {
            using Tensor indices = tensor([1L, 1L, step], dtype: ScalarType.Int64);
            a.zero_grad();
            b.zero_grad();
            sparse.forward(indices).square().sum().backward();
            dense.forward(indices).square().sum().backward();
            a.step();
            b.step();
        }

        Assert.InRange(Models.RelativeDifference([sparse.weight!], [dense.weight!]), 0, 1e-6);

        // LibTorchSharp keeps no error for the next call.
        using Tensor one = ones(1);
        Assert.Equal(1, one.item<float>());
    }

    [TorchFact]
    public void Parameters_that_cannot_be_stepped_are_refused_by_name()
    {
        using Tensor wide = torch.zeros(4, 8);
        (Parameter Parameter, string Reason)[] refused =
        [
            (nn.Parameter(torch.zeros(3, dtype: ScalarType.Float64)), "Float64"),
            (nn.Parameter(wide[TensorIndex.Colon, TensorIndex.Slice(0, 8, 2)]), "gaps"),
            (nn.Parameter(torch.zeros(1, 3).expand(4, 3)), "gaps"),
            (nn.Parameter(torch.zeros(3, device: META)), "meta"),
        ];
        foreach ((Parameter parameter, string reason) in refused)
        {
            ArgumentException error = Assert.Throws<ArgumentException>(
                () => nativeopt.optim.Adam([("body.weight", parameter)]));
            Assert.Contains("\"body.weight\"", error.Message, StringComparison.Ordinal);
            Assert.Contains(reason, error.Message, StringComparison.Ordinal);
            RequireError<ArgumentException>("parameter 0 ", () => nativeopt.optim.Adam([parameter]));
        }

        Parameter twice = nn.Parameter(torch.zeros(3));
        RequireError<ArgumentException>(
            "\"a\" is there twice", () => nativeopt.optim.Adam([("a", twice), ("b", twice)]));
    }

    [TorchFact]
    public void Equal_names_of_two_modules_are_told_apart()
    {
        using var first = nn.Linear(2, 2);
        using var second = nn.Linear(2, 2);
        using var optimizer = nativeopt.optim.Adam(first.named_parameters().Concat(second.named_parameters()));
        Parameter[] all = [.. optimizer.parameters()];
        Models.SetGradients(1, all);
        optimizer.step();
        all[2].grad = ones(3);
        RequireError<ArgumentException>("parameter 2 ", () => optimizer.step());
        all[2].grad = null;
        all[1].grad = ones(3);
        RequireError<ArgumentException>("\"bias\"", () => optimizer.step());
    }

    [TorchFact]
    public void Which_parameters_a_group_has_is_decided_once()
    {
        using var ours = Models.Mlp();
        using var torchs = Models.Mlp();
        using var a = nativeopt.optim.AdamW(ours.parameters().Where(static parameter => parameter.requires_grad));
        using var b = optim.AdamW(torchs.parameters());
        for (int step = 0; step < 150; step++)
        {
            if (step is 10 or 100)
            {
                foreach (Parameter parameter in (Parameter[])[ours.parameters().First(), torchs.parameters().First()])
                {
                    parameter.requires_grad = step == 100;
                    parameter.grad = null;
                }
            }

            Models.TrainStep(ours, a, step);
            Models.TrainStep(torchs, b, step);
        }

        Assert.Equal(6, a.parameters().Count());
        Assert.InRange(Models.RelativeDifference(ours.parameters(), torchs.parameters()), 0, 1e-3);

        int made = 0;
        using var generated = nativeopt.optim.SGD(Generate(), 0.1);
        Models.SetGradients(1, [.. generated.parameters()]);
        generated.step();
        Assert.Same(generated.parameters().First(), generated.parameters().First());

        IEnumerable<Parameter> Generate()
        {
            made++;
            yield return nn.Parameter(full(3, (float)made));
        }
    }

    [TorchFact]
    public void Groups_that_need_other_states_are_refused_at_once()
    {
        Parameter[] parameters = Models.Parameters(1, [4], [4]);
        RequireError<ArgumentException>(
            "max_exp_avg_sq",
            () => nativeopt.optim.Adam(
                [
                    new TorchSharp.Modules.Adam.ParamGroup(parameters[..1], amsgrad: true),
                    new TorchSharp.Modules.Adam.ParamGroup(parameters[1..]),
                ]));
        using var optimizer = nativeopt.optim.SGD(parameters[..1], 0.1);
        Models.SetGradients(1, parameters);
        optimizer.step();
        RequireError<ArgumentException>(
            "Group 1 needs the states momentum_buffer, but group 0 needs no state",
            () => optimizer.add_param_group(new TorchSharp.Modules.SGD.ParamGroup(parameters[1..], lr: 0.1, momentum: 0.9)));
        Assert.Single(optimizer.ParamGroups);
        Assert.Single(optimizer.parameters());
        optimizer.step();
        optimizer.add_param_group(new TorchSharp.Modules.SGD.ParamGroup(parameters[1..], lr: 0.1));
        optimizer.step();
    }

    [TorchFact]
    public void A_refused_group_changes_nothing()
    {
        Parameter[] parameters = Models.Parameters(1, [4], [4]);
        using var optimizer = nativeopt.optim.Adam(parameters[..1]);
        Assert.Throws<ArgumentException>(() => optimizer.add_param_group(new TorchSharp.Modules.Adam.ParamGroup(parameters)));
        Assert.Throws<ArgumentException>(
            () => optimizer.add_param_group(new TorchSharp.Modules.Adam.ParamGroup(parameters[1..], lr: -1)));
        Assert.Throws<ArgumentException>(
            () => optimizer.add_param_group(new TorchSharp.Modules.AdamW.ParamGroup(parameters[1..])));
        Assert.Single(optimizer.parameters());
        optimizer.add_param_group(new TorchSharp.Modules.Adam.ParamGroup(parameters[1..]));
        Models.SetGradients(1, parameters);
        optimizer.step();
        Assert.Equal(2, optimizer.parameters().Count());
    }

    [TorchFact]
    public void Overlapping_parameters_are_refused_by_name()
    {
        Tensor memory = torch.zeros(8);
        Parameter a = nn.Parameter(memory[..6]), b = nn.Parameter(memory[2..]);
        a.grad = ones(6);
        b.grad = ones(6);
        using var optimizer = nativeopt.optim.Adam([("left", a), ("right", b)]);
        RequireError<ArgumentException>("left", () => optimizer.step());
    }

    [TorchFact]
    public void Options_out_of_their_range_are_refused()
    {
        Parameter[] parameters = Models.Parameters(1, [4]);
        RequireError<ArgumentException>("lr", () => nativeopt.optim.Adam(parameters, lr: -1));
        RequireError<ArgumentException>("beta1", () => nativeopt.optim.Adam(parameters, beta1: 1));
        RequireError<ArgumentException>(
            "dampening", () => nativeopt.optim.SGD(parameters, 0.1, 0.9, dampening: 1.5));
        RequireError<ArgumentOutOfRangeException>(
            "MaxGradNorm", () => nativeopt.optim.Adam(parameters, step_options: new StepOptions { MaxGradNorm = -1 }));
        RequireError<ArgumentOutOfRangeException>(
            "MaxGradValue", () => nativeopt.optim.Adam(parameters, step_options: new StepOptions { MaxGradValue = double.NaN }));
        RequireError<ArgumentException>(
            "no option \"beta9\"", () => nativeopt.optim.Rule("adam", parameters, new FusedOptions { ["beta9"] = 1 }));

        using var optimizer = nativeopt.optim.Adam(parameters);
        optimizer.ParamGroups.First().LearningRate = double.NaN;
        Models.SetGradients(1, parameters);
        float[] before = Models.Values(parameters[0]);
        RequireError<ArgumentException>("lr of group 0 is NaN", () => optimizer.step());
        Assert.Equal(before, Models.Values(parameters[0]));
    }

    [TorchTheory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_module_that_was_converted_afterwards_is_a_clear_error(bool named)
    {
        using var model = Models.Mlp();
        using optim.Optimizer optimizer = named
            ? nativeopt.optim.Adam(model.named_parameters())
            : nativeopt.optim.Adam(model.parameters());
        model.to(ScalarType.BFloat16);
        string message = Assert.Throws<InvalidOperationException>(() => optimizer.step()).Message;
        Assert.Contains(named ? "\"first.weight\"" : "beginning with 0", message, StringComparison.Ordinal);
        Assert.Contains("Make the optimizer after that", message, StringComparison.Ordinal);
    }

    [TorchFact]
    public void A_module_that_is_converted_in_the_middle_is_noticed()
    {
        using var model = Models.Mlp();
        using var optimizer = nativeopt.optim.Adam(model.named_parameters());
        Models.TrainStep(model, optimizer, 1);
        model.to(ScalarType.BFloat16);
        Assert.Throws<InvalidOperationException>(() =>
        {
            for (int step = 0; step < 100; step++)
            {
                optimizer.step();
            }
        });
    }

    [TorchFact]
    public void A_parameter_that_was_disposed_of_is_named()
    {
        using (IDisposable scope = NewDisposeScope())
        {
            Parameter parameter = nn.Parameter(torch.zeros(3));
            using var other = nativeopt.optim.Adam([("head", parameter)]);
            parameter.grad = ones(3);
            other.step();
            parameter.Dispose();
            RequireError<InvalidOperationException>("\"head\"", () => other.step());
        }

        NativeOpt.TorchSharp.Modules.Adam ended;
        using (IDisposable scope = NewDisposeScope())
        {
            Parameter parameter = nn.Parameter(torch.zeros(3));
            ended = nativeopt.optim.Adam([("tail", parameter)]);
        }

        RequireError<InvalidOperationException>("\"tail\"", () => ended.step());
        ended.Dispose();

        TorchSharp.Modules.Sequential model = Models.Mlp();
        using var optimizer = nativeopt.optim.Adam(model.named_parameters());
        Models.TrainStep(model, optimizer, 1);
        model.Dispose();
        Assert.Throws<InvalidOperationException>(() => optimizer.step());
    }

    [TorchFact]
    public void Gradients_may_move_at_each_step()
    {
        using var ours = Models.Mlp();
        using var torchs = Models.Mlp();
        using var a = nativeopt.optim.AdamW(ours.parameters());
        using var b = optim.AdamW(torchs.parameters());
        for (int step = 0; step < 30; step++)
        {
            ours.zero_grad();
            Assert.Equal(Models.TrainStep(torchs, b, step), Models.TrainStep(ours, a, step), 4);
        }

        Assert.InRange(Models.RelativeDifference(ours.parameters(), torchs.parameters()), 0, 1e-4);
    }

    [TorchFact]
    public void States_of_an_optimizer_that_was_made_in_a_scope_stay_valid()
    {
        using var model = Models.Mlp();
        NativeOpt.TorchSharp.Modules.AdamW optimizer;
        using (IDisposable scope = NewDisposeScope())
        {
            optimizer = nativeopt.optim.AdamW(model.parameters());
        }

        using (optimizer)
        {
            Models.TrainStep(model, optimizer, 1);
            using (IDisposable scope = NewDisposeScope())
            {
                Models.TrainStep(model, optimizer, 2);
            }

            Models.TrainStep(model, optimizer, 3);
            Assert.All(
                optimizer.state_dict().State,
                static state => Assert.False(((TorchSharp.Modules.AdamW.State)state).exp_avg.IsInvalid));
        }
    }

    [TorchFact]
    public void After_Dispose_steps_are_refused()
    {
        var optimizer = nativeopt.optim.Adam(Models.Parameters(1, [3]));
        optimizer.Dispose();
        optimizer.Dispose();
        Assert.Throws<ObjectDisposedException>(() => optimizer.step());
    }

    private static void RequireError<T>(string part, Action action)
        where T : Exception => Assert.Contains(part, Assert.Throws<T>(action).Message, StringComparison.Ordinal);
}
