using System.Runtime.InteropServices;
using NativeOpt.Cli.Selftest;
using NativeOpt.Interop;
using Xunit;

namespace NativeOpt.Cli.Tests.Selftest;

/// <summary>Nothing differs on the CPU, and what is made to differ is found and named.</summary>
[Collection("settings of the process")]
public sealed class SelftestRunTests
{
    [Fact]
    public void All_quick_cases_pass_on_the_cpu_and_leave_it_as_it_was()
    {
        SelftestSetting before = SelftestSetting.CurrentCpu;
        SelftestPlan plan = Plan();
        List<SelftestResult> seen = [];
        SelftestOutcome outcome = plan.Run(seen.Add, default);
        Assert.Equal(before, SelftestSetting.CurrentCpu);
        Assert.Equal((null, false), (outcome.Fault, outcome.IsCancelled));
        Assert.Equal(outcome.Results, seen);
        Assert.Equal(plan.Cases, seen.Select(static result => result.Case));
        foreach (SelftestResult result in seen)
        {
            Assert.True(result.Passed, $"{result.Case}: {string.Join('\n', result.Comparison.Differences)}");

            // Both places of the gradients (a third of which may be frozen) and the parameters, in each setting after each step,
            // are the least of it.
            int blocks = result.Case.Gradients is { HasFrozen: true } ? 1 : 3;
            Assert.True(
                result.Comparison.Compared >= blocks * result.Case.ElementCount * result.Case.Steps * (plan.Settings.Count - 1));
        }
    }

    [Theory]
    [InlineData("param", 3, 4)]
    [InlineData("exp_avg", 8, 16384)]
    [InlineData("exp_avg_sq", 1, 0)]
    [InlineData("max_exp_avg_sq", 6, 512)]
    [InlineData("grad (place 0)", 2, 2)]
    [InlineData("grad (place 1)", 9, 0)]
    public void One_bit_of_a_rules_tensors_is_found(string block, int tensor, int index) =>
        Assert.All(Find(new Fault(block, tensor, index), hasDimer: false), result =>
        {
            AssertNames(result, block, tensor, index, isCanary: false, "nopt_optimizer_step");
            Assert.Equal(0, result.Comparison.DamagedCanaries);
        });

    [Theory]
    [InlineData("direction")]
    [InlineData("param_backup")]
    [InlineData("grad_backup")]
    [InlineData("rotation_direction")]
    public void One_bit_of_a_dimers_tensors_is_found(string block) =>
        Assert.All(
            Find(new Fault(block, 8, 100), hasDimer: true),
            result => AssertNames(result, block, 8, 100, isCanary: false, "nopt_dimer_step"));

    /// <summary>Also in what is stored in fewer bits.</summary>
    [Theory]
    [InlineData("bfloat16", "param", 8, 100, "param", 100)]
    [InlineData("16 bits", "param", 6, 512, "param", 512)]
    [InlineData("masters", "master_param", 6, 500, "master_param", 500)]
    [InlineData("remainders", "param_remainder", 4, 54, "param_remainder", 54)]
    [InlineData("bfloat16 states", "exp_avg_sq", 5, 510, "exp_avg_sq", 510)]
    [InlineData("dynamic8 states", "exp_avg", 5, 260, "exp_avg (scale)", 256)]
    [InlineData("dynamic8 states", "exp_avg_sq", 8, 268, "exp_avg_sq (code)", 260)]
    [InlineData("everything", "exp_avg_sq", 8, 4, "exp_avg_sq (code)", 0)]
    public void One_bit_of_other_types_is_found(string storage, string block, int tensor, int at, string what, int index) =>
        Assert.All(
            FindIn(new Fault(block, tensor, at), one => one.Storage.Name == storage && one.Dimer is null),
            result =>
            {
                AssertNames(result, what, tensor, index, isCanary: false, "nopt_optimizer_step");
                Assert.Equal(0, result.Comparison.DamagedCanaries);
            });

    [Theory]
    [InlineData("dynamic8 states", "exp_avg", 1, 5, 1)]
    [InlineData("dynamic8 states", "exp_avg_sq", 1, -1, -1)]
    [InlineData("bfloat16", "param", 4, 55, 55)]
    public void One_bit_outside_of_tensors_of_other_types_is_found(string storage, string block, int tensor, int at, int index) =>
        Assert.All(
            FindIn(new Fault(block, tensor, at), one => one.Storage.Name == storage && one.Dimer is null),
            result => AssertNames(result, block, tensor, index, isCanary: true, "nopt_optimizer_step"));

    /// <summary>What became of the gradients is compared, too.</summary>
    [Theory]
    [InlineData("clip norm", "norm")]
    [InlineData("clip norm", "clip coefficient")]
    [InlineData("skip", "skipped")]
    [InlineData("skip", "skipped steps")]
    public void A_status_of_the_gradients_that_differs_is_found(string gradients, string scalar) =>
        Assert.All(FindIn(new Fault(scalar), one => one.Gradients?.Name == gradients), result =>
        {
            Difference first = result.Comparison.Differences[0];
            Assert.Equal((scalar, FaultyModel.FaultyStep), (first.What, first.Step));
        });

    /// <summary>A frozen tensor that moves is found even where all settings agree on it.</summary>
    [Fact]
    public void A_frozen_tensor_that_moves_is_found()
    {
        var fault = new Fault("param", 4, 7); // every third tensor, from the second on
        var plan = new SelftestPlan(
            Device.Cpu, ["adam"], [SelftestShape.Awkward], isQuick: true,
            createModel: (setting, one, buffers) => new FaultyModel(setting, one, buffers, fault));
        SelftestCase frozen = plan.Cases.First(static one => one.IsFrozen(4) && !one.Arrangement.HasStrange);
        SelftestResult result = SelftestRun.Run(plan, frozen, default);
        Assert.Equal(plan.Settings[0].Name, result.Comparison.Differences[0].On);
        AssertNames(result, "param", 4, 7, isCanary: false, "nopt_optimizer_step");
        SelftestCase moving = plan.Cases.First(static one => one.Gradients is { HasFrozen: false } && !one.Arrangement.HasStrange);
        Assert.True(SelftestRun.Run(plan, moving, default).Passed);
    }

    /// <summary>The step counts of tensors are compared one by one, and so are their running scalars.</summary>
    [Theory]
    [InlineData(FaultyModel.TensorStepCount, "step count of tensor 4")]
    [InlineData("beta2_product of tensor", "beta2_product of tensor 4")]
    public void A_tensor_that_counts_otherwise_is_found(string block, string what) =>
        Assert.All(FindIn(new Fault(block, 4), static one => one.Gradients is { HasFrozen: true }), result =>
        {
            Difference first = result.Comparison.Differences[0];
            Assert.Equal((what, FaultyModel.FaultyStep), (first.What, first.Step));
        });

    /// <summary>A frozen tensor that counts is found even where all settings agree on it.</summary>
    [Fact]
    public void A_frozen_tensor_that_counts_is_found()
    {
        var fault = new Fault(FaultyModel.TensorStepCount, 4);
        var plan = new SelftestPlan(
            Device.Cpu, ["adam"], [SelftestShape.Awkward], isQuick: true,
            createModel: (setting, one, buffers) => new FaultyModel(setting, one, buffers, fault));
        SelftestCase frozen = plan.Cases.First(static one => one.IsFrozen(4) && !one.Arrangement.HasStrange);
        Difference first = SelftestRun.Run(plan, frozen, default).Comparison.Differences[0];
        Assert.Equal((plan.Settings[0].Name, "step count of tensor 4", 0.0), (first.On, first.What, first.Expected));
    }

    [Theory]
    [InlineData("param", 0, -1)]
    [InlineData("param", 10, 0)]
    [InlineData("exp_avg", 8, 16385)]
    [InlineData("exp_avg_sq", 8, -3)]
    [InlineData("grad (place 0)", 4, 55)]
    public void One_bit_outside_of_the_tensors_is_found(string block, int tensor, int index) =>
        Assert.All(Find(new Fault(block, tensor, index), hasDimer: false), result =>
        {
            AssertNames(result, block, tensor, index, isCanary: true, "nopt_optimizer_step");
            Assert.Equal(0, result.Comparison.Different);
        });

    [Theory]
    [InlineData("step count", false)]
    [InlineData("beta1_product", false)]
    [InlineData("beta2_product", true)]
    [InlineData("status.angle", true)]
    public void A_scalar_that_differs_is_found(string scalar, bool hasDimer) =>
        Assert.All(Find(new Fault(scalar), hasDimer), result =>
        {
            Difference first = result.Comparison.Differences[0];
            Assert.Equal((scalar, FaultyModel.FaultyStep), (first.What, first.Step));
            Assert.Equal(18, first.ActualBits.Length);
        });

    [Fact]
    public void Damage_by_the_setting_that_others_are_compared_with_is_found()
    {
        SelftestPlan plan = Faulty(new Fault("exp_avg", 1, -1), setting: 0);
        SelftestResult result = SelftestRun.Run(plan, Choose(plan, hasDimer: false), default);
        Difference first = result.Comparison.Differences[0];
        Assert.Equal(plan.Settings[0].Name, first.On);
        Assert.True(first.IsCanary);
        Assert.False(result.Passed);
    }

    [Fact]
    public void A_fault_of_the_device_ends_the_run_and_names_the_case()
    {
        SelftestSetting before = SelftestSetting.CurrentCpu;
        SelftestPlan plan = Faulty(new Fault("device"), setting: 1);
        SelftestOutcome outcome = plan.Run(static _ => { }, default);
        Assert.Equal(before, SelftestSetting.CurrentCpu);
        Assert.Empty(outcome.Results);
        Assert.Equal($"{plan.Cases[0]}: the device is on fire.", outcome.Fault);
    }

    [Fact]
    public void It_can_be_stopped_between_two_calls()
    {
        SelftestSetting before = SelftestSetting.CurrentCpu;
        using var stop = new CancellationTokenSource();
        SelftestOutcome outcome = Plan().Run(_ => stop.Cancel(), stop.Token);
        Assert.Equal(before, SelftestSetting.CurrentCpu);
        Assert.True(outcome.IsCancelled);
        Assert.Single(outcome.Results);
    }

    // What is compared must be worth it: directions that turn, updates that are refused, both corrections, finite numbers.
    [Fact]
    public void Cases_exercise_what_a_dimer_does()
    {
        List<nopt_dimer_status> statuses = [];
        double finite = 0, all = 0;
        SelftestPlan plan = new(
            Device.Cpu, ["adam"], [SelftestShape.Awkward], seed: 1, isQuick: true,
            (setting, one, buffers) => new WatchedModel(setting, one, buffers, statuses, words =>
            {
                float[] values = MemoryMarshal.Cast<byte, float>(words).ToArray();
                all += values.Length;
                finite += values.Count(float.IsFinite);
            }));
        foreach (SelftestCase one in plan.Cases.Where(
            static one => one.Dimer is not null && one.Storage == SelftestStorage.Float32))
        {
            Assert.True(SelftestRun.Run(plan, one, default).Passed);
        }

        Assert.Contains(statuses, static status => status.angle > 0.01);
        Assert.Contains(statuses, static status => status.curvature < 0);
        Assert.Contains(statuses, static status => status.curvature > 0);
        Assert.Contains(
            statuses, static status => (status.flags & (uint)nopt_dimer_status_flag.NOPT_DIMER_STATUS_ROTATION_REFUSED) != 0);
        Assert.Contains(statuses, static status => status.flags == 0 && status.step == 3);
        Assert.InRange(finite / all, 0.95, 1);
    }

    /// <summary>Steps are skipped and others not, norms are clipped, 8 bits hold many different numbers and few NaNs.</summary>
    [Fact]
    public void Cases_exercise_what_their_options_do()
    {
        List<IReadOnlyList<(string Name, double Value)>> states = [];
        HashSet<byte> codes = [];
        SelftestPlan plan = new(
            Device.Cpu, ["adam"], [SelftestShape.Awkward], seed: 1, isQuick: true,
            (setting, one, buffers) => new ObservedModel(setting, one, buffers, states, codes));
        foreach (SelftestCase one in plan.Cases.Where(
            static one => one.Gradients is not null || one.Storage.Name == "dynamic8 states"))
        {
            Assert.True(SelftestRun.Run(plan, one, default).Passed);
        }

        double[] Values(string name) => [.. states.SelectMany(static state => state).Where(one => one.Name == name).Select(
            static one => one.Value)];
        Assert.Equal([0, 1], Values("skipped").Distinct().Order());
        Assert.Contains(Values("clip coefficient"), static value => value is > 0 and < 1);
        Assert.Contains(Values("norm"), static value => value > 1 && double.IsFinite(value));
        Assert.Equal(256, codes.Count);
    }

    private static List<SelftestResult> FindIn(Fault fault, Func<SelftestCase, bool> isIt)
    {
        List<SelftestResult> results = [];
        for (int setting = 1; setting < Plan().Settings.Count; setting++)
        {
            SelftestPlan plan = Faulty(fault, setting);
            SelftestCase one = plan.Cases.First(isIt);
            SelftestResult result = SelftestRun.Run(plan, one, default);
            Assert.False(result.Passed);
            Assert.Equal(plan.Settings[setting].Name, result.Comparison.Differences[0].On);
            results.Add(result);
        }

        Assert.NotEmpty(results);
        return results;
    }

    // The case in all settings but the first, each with the fault.
    private static List<SelftestResult> Find(Fault fault, bool hasDimer) => FindIn(fault, IsChosen(hasDimer));

    private static void AssertNames(
        SelftestResult result, string block, int tensor, int index, bool isCanary, string call)
    {
        Difference first = result.Comparison.Differences[0];
        Assert.Equal((FaultyModel.FaultyStep, call), (first.Step, first.After));
        Assert.Equal((block, tensor, index, isCanary), (first.What, first.Tensor, first.Index, first.IsCanary));
        Assert.Equal(
            Convert.ToUInt32(first.ExpectedBits[2..], 16) ^ 1, Convert.ToUInt32(first.ActualBits[2..], 16));
    }

    private static SelftestPlan Faulty(Fault fault, int setting) => new(
        Device.Cpu, ["adam"], [SelftestShape.Awkward], isQuick: true, createModel: FaultyModel.In(Plan(), setting, fault));

    private static SelftestPlan Plan() => new(Device.Cpu, NativeRuntime.Rules, SelftestShape.All, isQuick: true);

    // With all of the rule's states, or all of the dimer's.
    private static Func<SelftestCase, bool> IsChosen(bool hasDimer) =>
        one => hasDimer ? one.Dimer is { HasPlane: true } : one.Options.Name == "amsgrad";

    private static SelftestCase Choose(SelftestPlan plan, bool hasDimer) => plan.Cases.First(IsChosen(hasDimer));

    private sealed class ObservedModel(
        SelftestSetting setting,
        SelftestCase one,
        SelftestBuffers buffers,
        List<IReadOnlyList<(string Name, double Value)>> states,
        HashSet<byte> codes)
        : SelftestModel(setting, one, buffers)
    {
        public override IReadOnlyList<(string Name, double Value)> StepState
        {
            get
            {
                states.Add(base.StepState);
                foreach (GuardedBlock block in Blocks.Where(
                    static block => block.Name == "exp_avg" && block.Layout.TypeOf(0) == DType.Dynamic8))
                {
                    for (int tensor = 0; tensor < block.Layout.TensorCount; tensor++)
                    {
                        ReadOnlySpan<byte> bytes = block.Layout.Tensor(block.Read(), tensor);
                        for (int i = 0; i < bytes.Length; i++)
                        {
                            if (i % 260 >= 4)
                            {
                                codes.Add(bytes[i]);
                            }
                        }
                    }
                }

                return states[^1];
            }
        }
    }

    private sealed class WatchedModel(
        SelftestSetting setting,
        SelftestCase one,
        SelftestBuffers buffers,
        List<nopt_dimer_status> statuses,
        Action<ReadOnlySpan<byte>> watch)
        : SelftestModel(setting, one, buffers)
    {
        public override nopt_dimer_status StatusOf(int scope)
        {
            nopt_dimer_status status = base.StatusOf(scope);
            statuses.Add(status);
            return status;
        }

        public override void Step(nopt_hyperparams hyperparameters, nopt_dimer_options? options)
        {
            base.Step(hyperparameters, options);
            foreach (GuardedBlock block in Blocks.Where(static block => block.Name is "param" or "exp_avg" or "direction"))
            {
                watch(block.Read());
            }
        }
    }
}
