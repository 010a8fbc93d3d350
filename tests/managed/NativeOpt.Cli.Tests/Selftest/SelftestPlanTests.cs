using NativeOpt.Cli.Optimizers;
using NativeOpt.Cli.Selftest;
using NativeOpt.Cli.Training;
using NativeOpt.Interop;
using Xunit;

namespace NativeOpt.Cli.Tests.Selftest;

[Collection("settings of the process")]
public sealed class SelftestPlanTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Every_rule_option_dimer_shape_and_alignment_is_there(bool isQuick)
    {
        SelftestPlan plan = Plan(isQuick);
        Assert.Equal(Rule.All, plan.Cases.Select(static one => one.Options.Rule).Distinct());
        foreach (IGrouping<Rule, SelftestCase> rule in plan.Cases.GroupBy(static one => one.Options.Rule))
        {
            string[] options =
            [
                .. rule.Where(static one => one.Dimer is null).SelectMany(static one => one.Options.Name.Split(' ')).Distinct(),
            ];
            string[] expected =
            [
                "plain", rule.Key.Flags.Any(static flag => flag.Name == "decoupled_weight_decay") ? "l2" : "weight",
                .. StateSelector.Of(rule.Key).Where(static own => own.Hyperparameter is not null).SelectMany(
                    static own => own.Values.Count <= 2 ? [own.Name] : own.Values.Skip(1).Select(value => $"{own.Name}={value}")),
                .. rule.Key.Flags.Select(static flag => flag.Name == "decoupled_weight_decay" ? "decoupled" : flag.Name)
                    .Where(static name => !name.StartsWith("stochastic_rounding", StringComparison.Ordinal)),
            ];
            Assert.Equal(expected.Order(), options.Order());
            Assert.Equal(DimerSetting.All.Count, rule.Select(static one => one.Dimer).OfType<DimerSetting>().Distinct().Count());
            Assert.Equal(SelftestShape.All.ToHashSet(), rule.Select(static one => one.Arrangement.Shape).ToHashSet());
            foreach (bool hasDimer in new[] { false, true })
            {
                SelftestArrangement[] arrangements =
                    [.. rule.Where(one => one.Dimer is null != hasDimer).Select(static one => one.Arrangement)];
                Assert.Equal(
                    Enum.GetValues<SelftestAlignment>(), arrangements.Select(static one => one.Alignment).Distinct().Order());
                Assert.Contains(arrangements, static one => one.HasOwnStream);
                Assert.Contains(arrangements, static one => one.HasStrange);
                Assert.Contains(arrangements, static one => one.HasTensorOptions);
                Assert.Contains(arrangements, static one => !one.HasTensorOptions);
            }
        }

        // Every kind of storage is there with and without a dimer, and everything that can become of gradients.
        foreach (IGrouping<Rule, SelftestCase> rule in plan.Cases.GroupBy(static one => one.Options.Rule))
        {
            foreach (bool hasDimer in new[] { false, true })
            {
                Assert.Equal(
                    [SelftestStorage.Float32, .. SelftestStorage.Others.Where(storage => storage.IsFor(rule.Key))],
                    rule.Where(one => one.Dimer is null != hasDimer && one.Gradients is null).Select(static one => one.Storage)
                        .Distinct());
            }

            SelftestCase[] withGradients = [.. rule.Where(static one => one.Gradients is not null)];
            Assert.Equal(SelftestGradients.All, withGradients.Select(static one => one.Gradients).Distinct());
            Assert.All(withGradients, static one => Assert.Null(one.Dimer));
            foreach (IGrouping<string, SelftestCase> kind in withGradients.GroupBy(static one => one.Gradients!.Name))
            {
                Assert.Contains(kind, static one => one.Arrangement.HasStrange && one.Storage == SelftestStorage.Float32);
                Assert.Contains(kind, static one => one.Arrangement.HasStrange && one.Storage == SelftestStorage.Others[^1]);
                Assert.All(kind, static one => Assert.True(one.IsCapturable || !one.Gradients!.Options.SkipNonFinite));
            }
        }

        Assert.Equal(12, DimerSetting.All.Count); // 2 scopes, 3 angles, 2 corrections
        Assert.Equal(plan.Cases.Count, plan.Cases.Select(static one => one.Number).Distinct().Count());
        Assert.Equal(plan.Cases.Count, plan.Cases.Select(static one => one.ToString()).Distinct().Count());
        Assert.Equal(12, plan.Cases.Where(static one => one.Options.Rule.Name == "adam").Select(static one => one.Options).Distinct().Count());
    }

    /// <summary>All states of a rule are there, each with and without it, and hyperparameters are also far from defaults.</summary>
    [Fact]
    public void Every_state_is_there_with_and_without_what_it_needs()
    {
        foreach (IGrouping<Rule, SelftestRule> rule in SelftestRule.All().GroupBy(static one => one.Rule))
        {
            foreach (RuleState state in rule.Key.States)
            {
                bool[] expected = state is { NeededFlag: null, NeededHyperparameter: null } ? [true] : [false, true];
                Assert.Equal(expected, rule.Select(one => Has(one, state)).Distinct().Order());
            }

            foreach (Hyperparameter own in rule.Key.Hyperparameters.Where(static own => own.Name != "lr"))
            {
                double[] values = [.. rule.Select(one => one.Hyperparameters.values[own.Index]).Distinct()];
                Assert.True(values.Length > 1, $"{rule.Key}: {own.Name} is always {values[0]}");
                Assert.All(values, value => Assert.True(own.Allows(value)));
            }
        }

        static bool Has(SelftestRule one, RuleState state) =>
            (state.NeededFlag is null || (one.Hyperparameters.flags & one.Rule.GetFlag(state.NeededFlag).Bit) != 0)
            && (state.NeededHyperparameter is null
                || one.Hyperparameters.values[one.Rule.GetHyperparameter(state.NeededHyperparameter).Index] > state.NeededAbove);
    }

    [Fact]
    public void Quick_is_quick_even_on_a_slow_device()
    {
        IReadOnlyList<SelftestCase> cases = Plan(isQuick: true).Cases;
        Assert.InRange((double)cases.Count / Rule.All.Count, 25, 150);
        Assert.All(cases, static one => Assert.InRange(one.ElementCount, 0, 60_000));
        Assert.InRange(cases.Sum(static one => one.ElementCount * one.Steps) / Rule.All.Count, 1_250_000, 6_250_000);
    }

    /// <summary>All types that the library knows of parameters, gradients and states, and what goes with them.</summary>
    [Fact]
    public void Storages_have_every_type()
    {
        TensorStorage[] all = [.. SelftestStorage.Others.SelectMany(static storage => storage.Tensors)];
        Assert.Equal(LibraryRoles.ParameterTypes, all.Select(static tensor => tensor.Parameter).Distinct().Order());
        Assert.Equal(
            LibraryRoles.Get(nopt_role.NOPT_ROLE_GRAD).DTypes, all.Select(static tensor => tensor.Gradient).Distinct().Order());
        Assert.Equal(LibraryRoles.StateTypes, all.Select(static tensor => tensor.State).Distinct().Order());
        Assert.Equal(Enum.GetValues<MasterWeights>(), all.Select(static tensor => tensor.Master).Distinct().Order());
        Assert.Contains(all, static tensor => tensor is { Parameter: DType.Float16, Master: MasterWeights.Float32 });
        foreach (Rule rule in Rule.All)
        {
            nopt_flag[] ofOneTensor = [.. SelftestStorage.Others.Select(storage => storage.RandomlyRounded(rule, 1)).Distinct()];
            Assert.Equal([default, nopt_flag.NOPT_FLAG_STOCHASTIC_ROUNDING], ofOneTensor.Order());
            bool mayHaveStates = rule.States.Any(static state => state.DTypes.Contains(DType.BFloat16));
            Assert.Equal(
                mayHaveStates,
                SelftestStorage.Others.Any(
                    storage => (storage.RandomlyRounded(rule, 10) & nopt_flag.NOPT_FLAG_STOCHASTIC_ROUNDING_STATES) != 0));
            Assert.All(
                SelftestStorage.Others, storage => Assert.Equal(default, storage.RandomlyRounded(rule, 0)));
        }
    }

    [Fact]
    public void What_is_left_out_changes_no_other_case()
    {
        SelftestPlan all = Plan(isQuick: true);
        SelftestPlan few = new(Device.Cpu, ["dualadam"], [SelftestShape.Random, SelftestShape.Small], seed: 1, isQuick: true);
        Assert.NotEmpty(few.Cases);
        foreach (SelftestCase one in few.Cases)
        {
            SelftestCase same = Assert.Single(all.Cases, other => other.ToString() == one.ToString());
            Assert.Equal(same.Counts, one.Counts);
            Assert.Equal(all.RandomOf(same.Number).NextUInt64(), few.RandomOf(one.Number).NextUInt64());
        }
    }

    [Fact]
    public void Random_shapes_follow_the_seed()
    {
        string[] first = Shapes(1);
        Assert.Equal(first, Shapes(1));
        Assert.True(first.Distinct().Count() > first.Length / 2);
        Assert.Empty(first.Intersect(Shapes(2)));

        static string[] Shapes(ulong seed) =>
        [
            .. new SelftestPlan(Device.Cpu, ["adam", "sgd"], [SelftestShape.Random], seed).Cases
                .Select(static one => string.Join(',', one.Counts)),
        ];
    }

    [Fact]
    public void On_the_cpu_every_instruction_set_meets_several_numbers_of_threads()
    {
        IReadOnlyList<SelftestSetting> settings = Plan(isQuick: true).Settings;
        Assert.Equal((NativeRuntime.CpuInstructionSets[0].Name, 1), (settings[0].InstructionSet, settings[0].Threads));
        foreach (CpuInstructionSetInfo set in NativeRuntime.CpuInstructionSets)
        {
            int[] threads = [.. settings.Where(one => one.InstructionSet == set.Name).Select(static one => one.Threads)];
            int[] expected = [.. new[] { 1, 2, NativeRuntime.CpuThreads }.Distinct()];
            Assert.Equal(set.IsSupported ? expected : [], threads);
        }
    }

    [Fact]
    public void Numbers_are_of_all_kinds()
    {
        float[] ordinary = Draw(hasStrange: false);
        Assert.DoesNotContain(ordinary, static x => !float.IsFinite(x));
        Assert.Contains(ordinary, static x => x == 0 && float.IsNegative(x));
        Assert.Contains(ordinary, static x => x == 0 && !float.IsNegative(x));
        Assert.Contains(ordinary, static x => float.IsSubnormal(x) && x > 0);
        Assert.Contains(ordinary, static x => float.IsSubnormal(x) && x < 0);
        Assert.Contains(ordinary, static x => float.IsNormal(x) && Math.Abs(x) < 1e-8);
        Assert.Contains(ordinary, static x => Math.Abs(x) > 1000);

        float[] strange = Draw(hasStrange: true);
        foreach (float one in new[] { float.NaN, float.PositiveInfinity, float.NegativeInfinity, float.MaxValue, -float.MaxValue })
        {
            Assert.Contains(one, strange);
        }

        Assert.InRange(strange.Count(float.IsFinite), 9000, 9990); // most are ordinary

        static float[] Draw(bool hasStrange)
        {
            uint[] words = new uint[10_000];
            SelftestNumbers.Fill(new DeterministicRandom(1), words, hasStrange);
            return [.. words.Select(BitConverter.UInt32BitsToSingle)];
        }
    }

    private static SelftestPlan Plan(bool isQuick) =>
        new(Device.Cpu, NativeRuntime.Rules, SelftestShape.All, seed: 1, isQuick);
}
