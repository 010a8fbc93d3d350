using NativeOpt.Interop;
using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Optimizers;

/// <summary>Every optimizer against the papers' equations in double.</summary>
public class RuleTests
{
    private const int Steps = 12;

    // Beside defaults: a scaled learning rate, an own weight decay, both, and a tensor that does not move.
    private static readonly int[] Sizes = [37, 20, 0, 33, 9, 5];

    private static readonly TensorOptions[] Options =
    [
        new(),
        new() { LearningRateScale = 0.5 },
        new(),
        new() { WeightDecay = 0.4 },
        new() { WeightDecay = 0, LearningRateScale = 1.5 },
        new() { LearningRateScale = 0 },
    ];

    public static TheoryData<string> Names => Rules.Names;

    /// <remarks>
    /// The tolerance: parameters, gradients, states and updates are of the order of 1, where rounding to float moves a number
    /// by 2^-25 on average and 2^-24 at most. A step rounds each of them a few times, and earlier errors are carried on
    /// unchanged or shrink. Two of the largest per step are allowed; a quarter of that is seen. The least effect of an
    /// option is 100 times more (<see cref="Every_option_matters"/>).
    /// </remarks>
    [Theory]
    [MemberData(nameof(Names))]
    public void Equals_the_papers_equations(string name)
    {
        RuleCase rule = Rules.Case(name);
        Reference.Element[][] expected = Expected(rule.Reference);
        using Model model = new(Sizes, Options);
        using Optimizer optimizer = rule.Create(model.Set);
        model.Step(optimizer, 1, Steps);

        Assert.Equal(Steps, optimizer.StepCount);
        for (int tensor = 0; tensor < Sizes.Length; tensor++)
        {
            AssertNear(expected[tensor].Select(e => e.Theta), model.Parameters[tensor], $"parameter of {tensor}");
            foreach (StateRole role in optimizer.StateRoles)
            {
                AssertNear(
                    expected[tensor].Select(e => Rules.StateOf(e, role)),
                    Snapshot.Values(optimizer.GetState(role, tensor)),
                    $"{role} of {tensor}");
            }
        }
    }

    /// <summary>Without this, the test above might pass with an option ignored.</summary>
    [Fact]
    public void Every_option_matters()
    {
        foreach (IGrouping<string, RuleCase> family in Rules.All.GroupBy(rule => rule.Family))
        {
            // Without momentum both kinds of weight decay are the same equation.
            (string Name, double[] Values)[] results =
            [
                .. family.Where(rule => rule.Reference is not { Rule: ReferenceRule.Sgd, Momentum: 0, Decoupled: true })
                    .Select(rule => (rule.Name, Expected(rule.Reference)[0].Select(e => e.Theta).ToArray())),
            ];
            for (int a = 0; a < results.Length; a++)
            {
                for (int b = a + 1; b < results.Length; b++)
                {
                    double difference = results[a].Values.Zip(results[b].Values, (x, y) => Math.Abs(x - y)).Max();
                    Assert.True(
                        difference > 100 * Tolerance(1), $"{results[a].Name} and {results[b].Name}: {difference}");
                }
            }
        }
    }

    [Fact]
    public void Every_state_role_is_used_by_some_rule()
    {
        HashSet<StateRole> seen = [];
        foreach (RuleCase rule in Rules.All)
        {
            using Model model = new(1);
            using Optimizer optimizer = rule.Create(model.Set);
            seen.UnionWith(optimizer.StateRoles);
        }

        IEnumerable<Rule> tested = Rules.OneOfReference.Select(Rule.Get);
        Assert.Equal(
            tested.SelectMany(rule => rule.States).Select(state => state.Name).Distinct().Order(),
            seen.Select(role => role.Name).Order());
    }

    [Fact]
    public void Every_native_rule_has_a_class()
    {
        using Model model = new(1);
        HashSet<string> names = [];
        foreach (Func<ParameterSet, Optimizer> create in Rules.OneOfEach.Values)
        {
            using Optimizer optimizer = create(model.Set);
            names.Add(optimizer.RuleName);
        }

        Assert.Equal(NativeRuntime.Rules.Order(), names.Order());
        Assert.Equal(NativeRuntime.Rules, Rule.All.Select(rule => rule.Name));
        Type[] classes = [.. typeof(Optimizer).Assembly.GetExportedTypes()
            .Where(type => type.IsSubclassOf(typeof(Optimizer)) && !type.IsAbstract && type != typeof(RuleOptimizer))];
        Assert.Equal(Rules.OneOfEach.Keys.Order(), classes.Select(type => type.Name).Order());
    }

    public static TheoryData<string, OptimizerOptions> DefaultOptions
    {
        get
        {
            // AdamW's are its own, a preset of the rule "adam".
            TheoryData<string, OptimizerOptions> data = [];
            foreach (TypedRule typed in TypedRule.All.Where(static typed => typed.Options != typeof(AdamWOptions)))
            {
                data.Add(typed.RuleName, typed.Default());
                data.Add(typed.RuleName, new RuleOptions(typed.RuleName));
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(DefaultOptions))]
    public unsafe void Defaults_are_the_native_rules(string rule, OptimizerOptions options)
    {
        nopt_hyperparams native = new() { struct_size = (uint)sizeof(nopt_hyperparams) };
        fixed (byte* name = System.Text.Encoding.UTF8.GetBytes(rule + '\0'))
        {
            Assert.Equal(nopt_status.NOPT_OK, NativeMethods.nopt_rule_get_defaults((sbyte*)name, &native));
        }

        nopt_hyperparams own = options.Values("", "").Native;
        Assert.Equal((native.struct_size, native.flags, native.rounding_seed), (own.struct_size, own.flags, own.rounding_seed));
        Assert.Equal(((ReadOnlySpan<double>)native.values).ToArray(), ((ReadOnlySpan<double>)own.values).ToArray());
    }

    [Fact]
    public void Defaults_are_torchs_and_the_papers()
    {
        AdamOptions adam = new();
        Assert.Equal((1e-3, 0.9, 0.999, 1e-8, 0.0), (adam.LearningRate, adam.Beta1, adam.Beta2, adam.Epsilon, adam.WeightDecay));
        Assert.Equal(1e-2, new AdamWOptions().WeightDecay);
        Assert.Equal((1e-3, 0.0), (new SgdOptions().LearningRate, new SgdOptions().Dampening));
        DualAdamOptions dualadam = new();
        Assert.Equal(
            (InverseWeightSchedule.Linear, 8e-5, 0.9, 1L, 0L, 1.0),
            (dualadam.Schedule, dualadam.SwitchingRate, dualadam.Base, dualadam.StepsPerEpoch, dualadam.SwitchStep, dualadam.InverseWeight));
        RAdamOptions radam = new();
        Assert.Equal((1e-3, 0.9, 0.999, 1e-8, false), (radam.LearningRate, radam.Beta1, radam.Beta2, radam.Epsilon, radam.DecoupledWeightDecay));
        NAdamOptions nadam = new();
        Assert.Equal((2e-3, 0.9, 0.999, 1e-8, 4e-3), (nadam.LearningRate, nadam.Beta1, nadam.Beta2, nadam.Epsilon, nadam.MomentumDecay));
        AdamaxOptions adamax = new();
        Assert.Equal((2e-3, 0.9, 0.999, 1e-8), (adamax.LearningRate, adamax.Beta1, adamax.Beta2, adamax.Epsilon));
        AdagradOptions adagrad = new();
        Assert.Equal(
            (1e-2, 0.0, 0.0, 1e-10),
            (adagrad.LearningRate, adagrad.LearningRateDecay, adagrad.InitialAccumulatorValue, adagrad.Epsilon));
        AdadeltaOptions adadelta = new();
        Assert.Equal((1.0, 0.9, 1e-6), (adadelta.LearningRate, adadelta.Rho, adadelta.Epsilon));
        RmsPropOptions rmsprop = new();
        Assert.Equal(
            (1e-2, 0.99, 1e-8, 0.0, false),
            (rmsprop.LearningRate, rmsprop.Alpha, rmsprop.Epsilon, rmsprop.Momentum, rmsprop.Centered));
        RpropOptions rprop = new();
        Assert.Equal(
            (1e-2, 0.5, 1.2, 1e-6, 50.0),
            (rprop.LearningRate, rprop.EtaMinus, rprop.EtaPlus, rprop.StepSizeMin, rprop.StepSizeMax));
        AsgdOptions asgd = new();
        Assert.Equal((1e-2, 1e-4, 0.75, 1e6), (asgd.LearningRate, asgd.Lambd, asgd.Alpha, asgd.T0));
        LionOptions lion = new();
        Assert.Equal((1e-4, 0.9, 0.99, true), (lion.LearningRate, lion.Beta1, lion.Beta2, lion.DecoupledWeightDecay));
        MiAdamOptions miadam = new();
        Assert.Equal((1e-3, 0.98, 1, 0L), (miadam.LearningRate, miadam.Kappa, miadam.Order, miadam.SwitchStep));
        AdEmaMixOptions ademamix = new();
        Assert.Equal(
            (1e-3, 0.9, 0.999, 0.9999, 5.0, 0L, 1e-8, true),
            (ademamix.LearningRate, ademamix.Beta1, ademamix.Beta2, ademamix.Beta3, ademamix.Alpha, ademamix.TAlphaBeta3, ademamix.Epsilon,
                ademamix.DecoupledWeightDecay));
        AdoptOptions adopt = new();
        Assert.Equal(
            (1e-3, 0.9, 0.9999, 1e-6, 0.25, false),
            (adopt.LearningRate, adopt.Beta1, adopt.Beta2, adopt.Epsilon, adopt.ClipExponent, adopt.DecoupledWeightDecay));
    }

    /// <summary>A schedule changes hyperparameters between steps; the bias corrections are products of the betas used.</summary>
    [Fact]
    public void Hyperparameters_may_change_between_steps()
    {
        using Model model = new(1);
        using DualAdam optimizer = new(model.Set, new DualAdamOptions { WeightDecay = 0.1 });
        Reference reference = new()
        {
            Rule = ReferenceRule.DualAdam,
            LearningRate = optimizer.LearningRate,
            Beta1 = 0.9,
            Beta2 = 0.999,
            Epsilon = 1e-8,
            WeightDecay = 0.1,
            SwitchingRate = 8e-5,
        };
        Reference.Element element = new() { Theta = model.Parameters[0][0] };
        reference.Step(element, model.Gradients[0][0], 1);
        optimizer.Step();

        (optimizer.LearningRate, optimizer.Beta1, optimizer.Beta2) = (0.5, 0.7, 0.95);
        (optimizer.Epsilon, optimizer.WeightDecay, optimizer.SwitchingRate) = (0.1, 0.2, 0.25);
        optimizer.Step();

        Assert.Equal(0.9 * 0.7, optimizer.Beta1Product);
        Assert.Equal(0.999 * 0.95, optimizer.Beta2Product);
        double g = model.Gradients[0][0] + (0.2 * element.Theta);
        double m = ((0.7 * element.M) + (0.3 * g)) / (1 - (0.9 * 0.7));
        double root = Math.Sqrt(((0.95 * element.V) + (0.05 * g * g)) / (1 - (0.999 * 0.95)));
        double expected = element.Theta - (0.5 * ((0.5 * m * root) + (0.5 * m / (root + 0.1))));
        Assert.Equal(expected, model.Parameters[0][0], Tolerance(expected));
    }

    [Fact]
    public void Per_tensor_options_may_change_between_steps()
    {
        using Model model = new(1, 1);
        using Sgd optimizer = new(model.Set, new SgdOptions { LearningRate = 0.5, WeightDecay = 0.25 });
        model.Set.SetLearningRateScale(0, 0.5);
        model.Set.SetWeightDecay(1, 1);
        Assert.Equal((0.5, 1.0), (model.Set.GetLearningRateScale(0), model.Set.GetLearningRateScale(1)));
        Assert.Equal((null, 1.0), (model.Set.GetWeightDecay(0), model.Set.GetWeightDecay(1)));
        double[] theta = [model.Parameters[0][0], model.Parameters[1][0]];
        double[] g = [model.Gradients[0][0], model.Gradients[1][0]];
        optimizer.Step();
        Near(theta[0] - (0.25 * (g[0] + (0.25 * theta[0]))), model.Parameters[0][0]);
        Near(theta[1] - (0.5 * (g[1] + theta[1])), model.Parameters[1][0]);

        model.Set.SetLearningRateScale(0, 1);
        model.Set.SetWeightDecay(1, null);
        theta = [model.Parameters[0][0], model.Parameters[1][0]];
        optimizer.Step();
        Near(theta[0] - (0.5 * (g[0] + (0.25 * theta[0]))), model.Parameters[0][0]);
        Near(theta[1] - (0.5 * (g[1] + (0.25 * theta[1]))), model.Parameters[1][0]);

        static void Near(double expected, float actual) => Assert.Equal(expected, actual, Tolerance(expected));
    }

    /// <summary>Each schedule says what the weight of the inverse part is at each step; the given one is the same by hand.</summary>
    [Theory]
    [InlineData(InverseWeightSchedule.Linear, new[] { 0.75, 0.5, 0.25, 0, 0 })]
    [InlineData(InverseWeightSchedule.Exponential, new[] { 1, 1, 0.5, 0.5, 0.25 })]
    [InlineData(InverseWeightSchedule.Fixed, new[] { 1.0, 1, 1, 0, 0 })]
    public void Schedules_of_DualAdam(InverseWeightSchedule schedule, double[] weights)
    {
        DualAdamOptions options = new()
        {
            Schedule = schedule,
            SwitchingRate = 0.25,
            Base = 0.5,
            StepsPerEpoch = 2,
            SwitchStep = 3,
        };
        using Model model = new(5);
        using Model other = new(5);
        using DualAdam optimizer = new(model.Set, options);
        using DualAdam given = new(other.Set, new DualAdamOptions { Schedule = InverseWeightSchedule.Given });
        HashSet<string> seen = [];
        for (int step = 1; step <= weights.Length; step++)
        {
            given.InverseWeight = weights[step - 1];
            model.Step(optimizer, step, step);
            other.Step(given, step, step);
            Assert.Equal(Snapshot.Of(given), Snapshot.Of(optimizer));
            Assert.True(seen.Add(Snapshot.Of(optimizer)));
        }
    }

    /// <summary>A scheduler may start SGD without momentum; the buffer is made when it is first needed.</summary>
    [Fact]
    public void Momentum_may_begin_later()
    {
        using Model model = new(3);
        using Sgd optimizer = new(model.Set);
        Assert.Empty(optimizer.StateRoles);
        optimizer.Step();
        optimizer.Momentum = 0.9;
        Assert.Equal([StateRole.MomentumBuffer], optimizer.StateRoles);
        optimizer.Step();
        Assert.Equal(model.Gradients[0], Snapshot.Values(optimizer.GetState(StateRole.MomentumBuffer, 0)));
    }

    /// <summary>A sum that a higher order brings begins at zero, so that it is the sum before it after one step.</summary>
    [Fact]
    public void The_order_of_MiAdam_may_rise()
    {
        using Model model = new(3);
        using MiAdam optimizer = new(model.Set, new MiAdamOptions { SwitchStep = 10 });
        model.Step(optimizer, 1, 2);
        Assert.Equal(["exp_avg", "exp_avg_sq", "buf_exp_avg"], optimizer.StateRoles.Select(static role => role.Name));
        Snapshot.Unchanged<ArgumentOutOfRangeException>(optimizer, () => optimizer.Order = 0);
        Snapshot.Unchanged<ArgumentOutOfRangeException>(optimizer, () => optimizer.Order = 4);
        optimizer.Order = 3;
        Assert.Equal(3, optimizer.Groups[0].Order);
        model.Step(optimizer, 3, 3);
        float[] once = Snapshot.Values(optimizer.GetState("buf_exp_avg", 0));
        Assert.NotEqual(Snapshot.Values(optimizer.GetState(StateRole.ExpAvg, 0)), once);
        Assert.Equal(once, Snapshot.Values(optimizer.GetState("buf_exp_avg2", 0)));
        Assert.Equal(once, Snapshot.Values(optimizer.GetState("buf_exp_avg3", 0)));
    }

    /// <summary>Up to step t0 + 2 it is the parameter itself, and then the average of the parameters since.</summary>
    [Fact]
    public void The_average_of_Asgd_begins_after_t0()
    {
        const int Start = 4;
        using Model model = new(5);
        using Asgd optimizer = new(model.Set, new AsgdOptions { LearningRate = 0.1, T0 = Start - 2 });
        double[] sums = new double[5];
        for (int step = 1; step <= 10; step++)
        {
            model.Step(optimizer, step, step);
            sums = [.. sums.Zip(model.Parameters[0], (sum, value) => step <= Start ? value : sum + value)];
            float[] averages = Snapshot.Values(optimizer.GetState("ax", 0));
            Assert.All(
                sums.Zip(averages),
                pair => Assert.Equal(pair.First / Math.Max(1, step - Start + 1), pair.Second, Tolerance(pair.Second)));
        }

        Assert.NotEqual(model.Parameters[0], Snapshot.Values(optimizer.GetState("ax", 0)));
    }

    [Fact]
    public void An_empty_set_steps()
    {
        using ParameterSet set = new(Device.Cpu, []);
        set.SetGradients(ReadOnlySpan<nint>.Empty);
        using Adam optimizer = new(set);
        optimizer.Step();
        Assert.Equal(1, optimizer.StepCount);
    }

    private static Reference.Element[][] Expected(Reference reference)
    {
        using Model model = new(Sizes);
        Reference.Element[][] elements =
            [.. model.Parameters.Select(values => values.Select(value => new Reference.Element { Theta = value }).ToArray())];
        for (int step = 1; step <= Steps; step++)
        {
            model.SetGradients(step);
            for (int tensor = 0; tensor < Sizes.Length; tensor++)
            {
                Reference own = reference with
                {
                    LearningRate = reference.LearningRate * Options[tensor].LearningRateScale,
                    WeightDecay = Options[tensor].WeightDecay ?? reference.WeightDecay,
                };
                for (int i = 0; i < Sizes[tensor]; i++)
                {
                    own.Step(elements[tensor][i], model.Gradients[tensor][i], step);
                }
            }
        }

        return elements;
    }

    private static double Tolerance(double magnitude) => 2 * Steps * Math.Pow(2, -24) * Math.Max(1, Math.Abs(magnitude));

    private static void AssertNear(IEnumerable<double> expected, float[] actual, string what)
    {
        double[] values = [.. expected];
        Assert.Equal(values.Length, actual.Length);
        for (int i = 0; i < values.Length; i++)
        {
            Assert.True(
                Math.Abs(values[i] - actual[i]) <= Tolerance(values[i]), $"{what}, element {i}: {actual[i]}, not {values[i]}");
        }
    }
}
