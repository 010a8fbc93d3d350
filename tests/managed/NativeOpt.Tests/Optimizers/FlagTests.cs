using System.Reflection;
using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Optimizers;

/// <summary>Flags and hyperparameters that change between steps.</summary>
public class FlagTests
{
    private static readonly int[] Sizes = [5, 0, 300];

    public static TheoryData<string> TypedNames => [.. TypedRule.All.Select(static typed => typed.Name)];

    public static TheoryData<string> RuleNames => [.. Rule.All.Select(static rule => rule.Name)];

    /// <summary>Each option that is a flag has a property of the same name in the groups, which says and sets it.</summary>
    [Theory]
    [MemberData(nameof(TypedNames))]
    public void Groups_have_a_property_for_each_flag(string name)
    {
        TypedRule typed = TypedRule.All.Single(own => own.Name == name);
        foreach (PropertyInfo option in typed.Properties.Where(static property => property.PropertyType == typeof(bool)))
        {
            if (typed.DescribedName(option) is not { } flag
                || option.Name.StartsWith(nameof(OptimizerOptions.StochasticRounding), StringComparison.Ordinal))
            {
                continue;
            }

            // A flag may need momentum.
            OptimizerOptions options = typed.WithAllStates();
            bool isSet = !(bool)option.GetValue(options)!;
            using Model model = new(Sizes);
            using Model other = new(Sizes);
            using Optimizer optimizer = typed.Create(model.Set, options);
            using Optimizer expected = typed.Create(other.Set, TypedRule.With(options, option, isSet));
            OptimizerGroup group = optimizer.Groups[0];
            PropertyInfo property = group.GetType().GetProperty(option.Name)!;
            Assert.Equal(!isSet, property.GetValue(group));
            property.SetValue(group, isSet);
            Assert.Equal((isSet, isSet), ((bool)property.GetValue(group)!, group.HasFlag(flag)));
            model.Step(optimizer, 1, 3);
            other.Step(expected, 1, 3);
            Assert.Equal(Snapshot.Of(expected), Snapshot.Of(optimizer));
        }
    }

    /// <summary>By name, for all rules: the steps from then on are those of an optimizer that was made so.</summary>
    [Theory]
    [MemberData(nameof(RuleNames))]
    public void Flags_are_set_by_name(string name)
    {
        Rule rule = Rule.Get(name);
        foreach (RuleFlag flag in rule.Flags.Where(static flag => !flag.Name.StartsWith("stochastic_rounding", StringComparison.Ordinal)))
        {
            string[] without = [.. rule.DefaultFlags.Select(static own => own.Name).Where(own => own != flag.Name)];
            Dictionary<string, double> values = flag.NeededHyperparameter is { } needed ? new() { [needed] = 0.5 } : [];
            using Model model = new(Sizes);
            using Model other = new(Sizes);
            using RuleOptimizer optimizer = new(model.Set, new RuleOptions(name) { Flags = without, Hyperparameters = values });
            using RuleOptimizer expected = new(
                other.Set, new RuleOptions(name) { Flags = [.. without, flag.Name], Hyperparameters = values });
            foreach (bool isSet in new[] { true, false, true })
            {
                optimizer.Groups[0].SetFlag(flag.Name, isSet);
                Assert.Equal(isSet, optimizer.Groups[0].HasFlag(flag.Name));
            }

            model.Step(optimizer, 1, 3);
            other.Step(expected, 1, 3);
            Assert.Equal(Snapshot.Of(expected), Snapshot.Of(optimizer));
        }

        using Model plain = new(Sizes);
        using RuleOptimizer refusing = new(plain.Set, new RuleOptions(name));
        ArgumentException unknown = Snapshot.Unchanged<ArgumentException>(
            refusing, () => refusing.Groups[0].SetFlag("no_such_flag", true));
        Assert.Equal("flag", unknown.ParamName);
        Assert.Contains("has no flag \"no_such_flag\"; it has", unknown.Message, StringComparison.Ordinal);
        Snapshot.Unchanged<ArgumentNullException>(refusing, () => refusing.Groups[0].SetFlag(null!, true));
        foreach (string rounding in new[] { "stochastic_rounding", "stochastic_rounding_states" })
        {
            Assert.Contains(
                "chosen when the optimizer is made",
                Snapshot.Unchanged<ArgumentException>(refusing, () => refusing.SetFlag(rounding, true)).Message,
                StringComparison.Ordinal);
            refusing.SetFlag(rounding, false); // as it is
        }
    }

    /// <summary>A state that options did without for a while begins anew, whatever it is made of.</summary>
    [Theory]
    [InlineData(DType.Float32)]
    [InlineData(DType.BFloat16)]
    [InlineData(DType.Dynamic8)]
    public void A_state_that_is_needed_again_begins_anew(DType type)
    {
        using Model model = new(Sizes);
        AdamOptions options = new() { StateType = type };
        using Adam optimizer = new(
            model.Set, type == DType.Dynamic8 ? options with { MinDynamic8ElementCount = 0 } : options);
        model.Step(optimizer, 1, 2);
        optimizer.Groups[0].Amsgrad = true;
        Assert.Equal(new float[5], Snapshot.Values(optimizer, StateRole.MaxExpAvgSq, 0));
        model.Step(optimizer, 3, 3);
        Assert.Equal(
            Snapshot.Values(optimizer, StateRole.ExpAvgSq, 0), Snapshot.Values(optimizer, StateRole.MaxExpAvgSq, 0));
        optimizer.Groups[0].Amsgrad = false;
        Assert.DoesNotContain(StateRole.MaxExpAvgSq, optimizer.StateRoles);
        model.Step(optimizer, 4, 4);
        optimizer.SetFlag("amsgrad", true);
        Assert.Equal(new float[5], Snapshot.Values(optimizer, StateRole.MaxExpAvgSq, 0));
        model.Step(optimizer, 5, 5);
        Assert.Equal(
            Snapshot.Values(optimizer, StateRole.ExpAvgSq, 0), Snapshot.Values(optimizer, StateRole.MaxExpAvgSq, 0));
    }

    /// <summary>Momentum 0.9, 0 for ten steps, and 0.9 again, with a gradient of 1: the buffer begins at zero both times.</summary>
    [Fact]
    public void Momentum_that_comes_back_begins_at_zero_with_and_without_a_resumed_run()
    {
        using Model model = new(1);
        using Model resumedModel = new(1);
        using Sgd optimizer = new(model.Set, new SgdOptions { LearningRate = 1, Momentum = 0.9 });
        using Sgd resumed = new(resumedModel.Set, new SgdOptions { LearningRate = 1 });
        Step(optimizer, model, 1);
        Step(optimizer, model, 1.9f);
        optimizer.Momentum = 0;
        for (int step = 0; step < 10; step++)
        {
            Step(optimizer, model, 1);
        }

        using MemoryStream file = new();
        optimizer.Save(file);
        file.Position = 0;
        resumed.Load(file);
        optimizer.Momentum = 0.9;
        resumed.SetHyperparameter("momentum", [0.9]);
        foreach (float expected in new[] { 1, 1.9f, 2.71f })
        {
            Step(optimizer, model, expected);
            Step(resumed, resumedModel, expected);
        }

        Assert.Equal(Snapshot.Values(optimizer, StateRole.MomentumBuffer, 0), Snapshot.Values(resumed, StateRole.MomentumBuffer, 0));

        static void Step(Sgd optimizer, Model model, float expected)
        {
            (model.Parameters[0][0], model.Gradients[0][0]) = (0, 1);
            optimizer.Step();
            Assert.Equal(-expected, model.Parameters[0][0], 6);
        }
    }

    /// <summary>What the host binds while the options do without a state is its content, and is not begun anew.</summary>
    [Fact]
    public void A_state_that_is_bound_while_it_is_idle_is_used_as_it_is()
    {
        using Model model = new(1);
        using DeviceBuffer<float> buffer = new(Device.Cpu, 1);
        using Sgd optimizer = new(model.Set, new SgdOptions { LearningRate = 1, Momentum = 0.5 });
        optimizer.BindState(StateRole.MomentumBuffer, [buffer.Pointer]);
        optimizer.Momentum = 0;
        optimizer.Momentum = 0.5;
        buffer.AsSpan()[0] = 4;
        Step(1);
        optimizer.Momentum = 0;
        buffer.AsSpan()[0] = 4;
        optimizer.BindState(StateRole.MomentumBuffer, [buffer.Pointer]);
        optimizer.Momentum = 0.5;
        Step(3);
        optimizer.Momentum = 0;
        optimizer.Momentum = 0.5;
        optimizer.BindStates(new Dictionary<StateRole, nint[]> { [StateRole.MomentumBuffer] = [buffer.Pointer] });
        Step(2.5f);

        void Step(float expected)
        {
            (model.Parameters[0][0], model.Gradients[0][0]) = (0, 1);
            optimizer.Step();
            Assert.Equal((-expected, expected), (model.Parameters[0][0], buffer.AsSpan()[0]));
        }
    }

    [Fact]
    public void A_host_that_owns_the_states_binds_the_new_one_first()
    {
        using DeviceBuffer<float> memory = new(Device.Cpu, 3 * 8);
        nint a = memory.Pointer;
        using Model model = new(8);
        using Adam optimizer = new(model.Set);
        optimizer.BindStates(new Dictionary<StateRole, nint[]> { [StateRole.ExpAvg] = [a], [StateRole.ExpAvgSq] = [a + 32] });
        model.Step(optimizer, 1, 1);
        Assert.Contains(
            "Amsgrad needs the state max_exp_avg_sq, which is not bound",
            Snapshot.Unchanged<InvalidOperationException>(optimizer, () => optimizer.Groups[0].Amsgrad = true).Message,
            StringComparison.Ordinal);
        Snapshot.Unchanged<InvalidOperationException>(optimizer, () => optimizer.SetFlag("amsgrad", true));
        optimizer.BindState(StateRole.MaxExpAvgSq, [a + 64]);
        Snapshot.Unchanged<ArgumentException>(optimizer, () => optimizer.GetState(StateRole.MaxExpAvgSq, 0));
        optimizer.Groups[0].Amsgrad = true;
        model.Step(optimizer, 2, 2);
        Assert.Equal(memory.AsSpan()[8..16].ToArray(), memory.AsSpan()[16..].ToArray());
        Assert.Equal(0, optimizer.AllocatedBytes);
    }

    [Fact]
    public void All_groups_change_at_once_where_states_depend_on_it()
    {
        TensorOptions[] tensors = [new(), new() { Group = 1 }];
        using Model model = new([5, 7], tensors);
        using Model other = new([5, 7], tensors);
        using Adam optimizer = new(model.Set, [new(), new() { LearningRate = 0.1 }]);
        using Adam expected = new(other.Set, [new() { Amsgrad = true }, new() { LearningRate = 0.1, Amsgrad = true, Maximize = true }]);
        Assert.Contains(
            "Amsgrad of group 1 alone cannot change so",
            Snapshot.Unchanged<ArgumentException>(optimizer, () => optimizer.Groups[1].Amsgrad = true).Message,
            StringComparison.Ordinal);
        optimizer.SetFlag("amsgrad", true);
        optimizer.Groups[1].Maximize = true;
        model.Step(optimizer, 1, 3);
        other.Step(expected, 1, 3);
        Assert.Equal(Snapshot.Of(expected), Snapshot.Of(optimizer));
        optimizer.SetHyperparameter("beta1", [0.5, 0.25]);
        Assert.Equal((0.5, 0.25), (optimizer.Beta1, optimizer.Groups[1].Beta1));
    }

    [Fact]
    public void Momentum_comes_to_all_groups_at_once()
    {
        TensorOptions[] tensors = [new(), new() { Group = 1 }];
        using Model model = new([5, 7], tensors);
        using Model other = new([5, 7], tensors);
        using Sgd optimizer = new(model.Set, [new(), new()]);
        using Sgd expected = new(other.Set, [new() { Momentum = 0.5, Nesterov = true }, new() { Momentum = 0.9 }]);
        optimizer.SetHyperparameter("momentum", [0.5, 0.9]);
        optimizer.Groups[0].Nesterov = true;
        model.Step(optimizer, 1, 3);
        other.Step(expected, 1, 3);
        Assert.Equal(Snapshot.Of(expected), Snapshot.Of(optimizer));
        Refuses<ArgumentException>("Nesterov needs a Momentum above 0", [0, 0]);
        optimizer.SetFlag("nesterov", false);
        Refuses<ArgumentException>("values[1] is 0, but values[0] is 0.5; either all groups have a momentum above 0", [0.5, 0]);
        Refuses<ArgumentException>("values has 1 entries, but the optimizer has 2 groups", [0.5]);
        Refuses<ArgumentOutOfRangeException>("momentum is -1", [0.5, -1]);
        Snapshot.Unchanged<ArgumentException>(optimizer, () => optimizer.SetHyperparameter("beta1", [0.5, 0.5]));
        optimizer.SetHyperparameter("momentum", [0, 0]);
        Assert.Empty(optimizer.StateRoles);
        Assert.Contains(
            "nesterov needs a Momentum above 0",
            Snapshot.Unchanged<ArgumentException>(optimizer, () => optimizer.SetFlag("nesterov", true)).Message,
            StringComparison.OrdinalIgnoreCase);
        optimizer.Step();

        void Refuses<TException>(string message, double[] values)
            where TException : ArgumentException => Assert.Contains(
            message,
            Snapshot.Unchanged<TException>(optimizer, () => optimizer.SetHyperparameter("momentum", values)).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Flags_that_a_rule_lacks_can_only_be_cleared()
    {
        using Model model = new(Sizes);
        using Adan optimizer = new(model.Set);
        optimizer.Groups[0].Maximize = false;
        ArgumentException error = Snapshot.Unchanged<ArgumentException>(optimizer, () => optimizer.Groups[0].Maximize = true);
        Assert.Contains("The rule \"adan\" has no flag \"maximize\"", error.Message, StringComparison.Ordinal);
        Assert.Equal("value", error.ParamName);
        optimizer.Dispose();
        Assert.Throws<ObjectDisposedException>(() => optimizer.Groups[0].NoProx = true);
        Assert.Throws<ObjectDisposedException>(() => optimizer.SetFlag("no_prox", true));
        Assert.Throws<ObjectDisposedException>(() => optimizer.SetHyperparameter("beta1", [0.5]));
    }

    [Fact]
    public void Flags_stay_while_a_dimer_has_displaced_the_parameters()
    {
        using DimerSetup setup = new(new DimerOptions { Displacement = 0.1 });
        setup.Loss.Closure();
        setup.Dimer.Displace(DeviceStream.Default);
        Assert.Throws<InvalidOperationException>(() => setup.Optimizer.Groups[0].SetFlag("maximize", true));
        Assert.Throws<InvalidOperationException>(setup.Optimizer.UnbindStates);
        setup.Dimer.Restore();
        setup.Optimizer.Groups[0].SetFlag("maximize", true);
    }

    /// <summary>Momentum may follow a schedule without garbage, and so may flags that lead to no state.</summary>
    [Fact]
    public void Changes_that_leave_the_states_as_they_are_allocate_nothing()
    {
        using Model model = new(Sizes);
        using Sgd optimizer = new(model.Set, new SgdOptions { Momentum = 0.5 });
        long before = 0;
        for (int step = -20; step < 200; step++)
        {
            before = step == 0 ? GC.GetAllocatedBytesForCurrentThread() : before;
            optimizer.Momentum = 0.5 + (0.1 / (step + 21));
            optimizer.Groups[0].Nesterov = (step & 1) == 0;
            optimizer.Groups[0].Maximize = (step & 1) == 0;
            optimizer.Step();
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    /// <summary>As torch corrects: by the power of the beta of the step, also while a schedule moves it.</summary>
    [Fact]
    public void Bias_correction_by_power_follows_a_moving_beta()
    {
        using Model model = new(Sizes);
        using Adam optimizer = new(model.Set, new AdamOptions { BiasCorrectionByPower = true });
        for (int step = 1; step <= 20; step++)
        {
            optimizer.Beta1 = 0.95 - (0.005 * step);
            model.Step(optimizer, step, step);
            Assert.Equal(Math.Pow(optimizer.Beta1, step), optimizer.Beta1Product, 1e-14);
            Assert.Equal(Math.Pow(0.999, step), optimizer.Beta2Product, 1e-14);
        }

        optimizer.SetStepCounts([7, 7, 9]);
        Assert.Equal(Math.Pow(optimizer.Beta1, 9), optimizer.Beta1Product, 1e-14);
    }
}
