using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Optimizers;

/// <summary>Types of states by state and by tensor.</summary>
public class StateTypesTests
{
    private static readonly int[] Sizes = [5, 0, 300, 5000];

    private static readonly Dictionary<StateRole, DType> ByState = new()
    {
        [StateRole.ExpAvg] = DType.BFloat16,
        [StateRole.ExpAvgSq] = DType.Dynamic8,
    };

    public static TheoryData<string> Names => [.. Rule.All.Select(static rule => rule.Name)];

    [Fact]
    public void States_and_tensors_have_types_of_their_own()
    {
        AdamOptions options = new() { StateType = DType.Float16, StateTypes = ByState, Amsgrad = true };
        TensorOptions[] tensors = [new(), new(), new() { StateType = DType.Float32 }, new()];
        using Model model = new(Sizes, tensors);
        using Adam optimizer = new(model.Set, options);
        DType[] expected = [DType.BFloat16, DType.Float32, DType.Float16, DType.Float32, DType.BFloat16, DType.Dynamic8];
        Assert.Equal(
            expected,
            new[]
            {
                Of(StateRole.ExpAvg, 0), Of(StateRole.ExpAvgSq, 0), Of(StateRole.MaxExpAvgSq, 0), // a small tensor has no 8 bits
                Of(StateRole.ExpAvg, 2), Of(StateRole.ExpAvg, 3), Of(StateRole.ExpAvgSq, 3),
            });
        model.Step(optimizer, 1, 3);
        TensorSpec[] specs = [.. Sizes.Select((size, i) => new TensorSpec(size, StateType: tensors[i].StateType))];
        Assert.Equal(OptimizerMemory.Of(options, specs).TotalBytes, optimizer.AllocatedBytes);

        // Files and successors.
        using MemoryStream file = new();
        optimizer.Save(file);
        string saved = Snapshot.Of(optimizer);
        optimizer.StepCount = 100;
        file.Position = 0;
        optimizer.Load(file);
        Assert.Equal(saved, Snapshot.Of(optimizer));
        using ParameterSet set = ParameterSet.FromArrays(
            [.. model.Parameters.Select(static values => values.ToArray())], model.Gradients, tensors);
        using Adam next = new(set, options);
        next.TakeOver(optimizer);
        Assert.Equal(saved, Snapshot.Of(next));

        DType Of(StateRole role, int tensor) => optimizer.GetState(role, tensor).DType;
    }

    /// <summary>The states that are float32 still take the same steps as without the others' types.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void Each_state_alone_may_be_short(string name)
    {
        Rule rule = Rule.Get(name);
        foreach (RuleState state in rule.States)
        {
            foreach (DType type in state.DTypes)
            {
                bool beginsAtZero = state.InitialValue == 0 && state.InitialHyperparameter is null;
                RuleOptions options = new(name)
                {
                    StateTypes = new Dictionary<StateRole, DType> { [state.Role] = type },
                    Flags = [.. rule.DefaultFlags.Select(static flag => flag.Name), .. Needed(state.NeededFlag)],
                    Hyperparameters = Needed(state.NeededHyperparameter).ToDictionary(
                        static own => own, own => TypedRule.Above(rule.GetHyperparameter(own), state.NeededAbove)),
                };
                if (!beginsAtZero && type == DType.Dynamic8)
                {
                    continue;
                }

                using Model model = new(Sizes);
                using RuleOptimizer optimizer = new(model.Set, options);
                model.Step(optimizer, 1, 3);
                Assert.All(
                    optimizer.StateRoles, role => Assert.Equal(role == state.Role ? type : DType.Float32, optimizer.GetState(role, 3).DType));
                Assert.All(model.Parameters.SelectMany(static values => values), static value => Assert.True(float.IsFinite(value)));
            }
        }

        static string[] Needed(string? one) => one is null ? [] : [one];
    }

    /// <summary>A file's states are the same numbers that float16 holds.</summary>
    [Fact]
    public void Float16_states_are_kept_to_nearest()
    {
        using Model model = new(1);
        using Sgd optimizer = new(model.Set, new SgdOptions { Momentum = 0.5, StateType = DType.Float16 });
        model.Gradients[0][0] = 1.0001f; // rounds to 1
        optimizer.Step();
        Assert.Equal([1], Snapshot.Values(optimizer, StateRole.MomentumBuffer, 0));
        model.Gradients[0][0] = 0.1f;
        optimizer.Step();
        Assert.Equal([(float)(Half)0.6f], Snapshot.Values(optimizer, StateRole.MomentumBuffer, 0));
    }

    [Fact]
    public void What_does_not_fit_is_refused()
    {
        Refuses<ArgumentException>(
            "StateTypes has \"momentum_buffer\", but the rule \"adam\" has no such state; it has exp_avg, exp_avg_sq, max_exp_avg_sq",
            new AdamOptions { StateTypes = new Dictionary<StateRole, DType> { [StateRole.MomentumBuffer] = DType.Float32 } });
        Refuses<ArgumentOutOfRangeException>(
            "StateTypes[\"exp_avg\"] is UInt16; it must be Float32, BFloat16, Float16 or Dynamic8 with the rule \"adam\"",
            new AdamOptions { StateTypes = new Dictionary<StateRole, DType> { [StateRole.ExpAvg] = DType.UInt16 } });
        Refuses<ArgumentException>(
            "MinDynamic8ElementCount is 3, but StateType is Float32",
            new AdamOptions
            {
                MinDynamic8ElementCount = 3,
                StateTypes = new Dictionary<StateRole, DType> { [StateRole.ExpAvg] = DType.Float16 },
            });
        Assert.Throws<ArgumentNullException>(() => new AdamOptions { StateTypes = null! });

        TensorOptions[] bad = [new(), new() { StateType = DType.UInt16 }];
        Assert.StartsWith(
            "options[1].StateType is UInt16; it must be Float32, BFloat16, Float16 or Dynamic8",
            Assert.Throws<ArgumentOutOfRangeException>(() => new Model([5, 7], bad)).Message,
            StringComparison.Ordinal);
        Assert.StartsWith(
            "tensors[0].StateType is UInt16",
            Assert.Throws<ArgumentOutOfRangeException>(
                () => OptimizerMemory.Of(new AdamOptions(), [new TensorSpec(5, StateType: DType.UInt16)])).Message,
            StringComparison.Ordinal);

        using Model model = new([5, 7], [new(), new() { Group = 1 }]);
        ArgumentException error = Assert.Throws<ArgumentException>(
            () => new Adam(model.Set, [new() { StateTypes = ByState }, new()]));
        Assert.Contains(
            "options[1].StateTypes is empty, but options[0].StateTypes is exp_avg BFloat16, exp_avg_sq Dynamic8", error.Message,
            StringComparison.Ordinal);
        using Adam alike = new(model.Set, [new() { StateTypes = ByState }, new() { StateTypes = ByState.Reverse().ToDictionary() }]);
        alike.Step();

        static void Refuses<TException>(string message, OptimizerOptions options)
            where TException : ArgumentException
        {
            using Model model = new(Sizes);
            TException error = Assert.Throws<TException>(() => Rules.Create(model.Set, options));
            Assert.StartsWith(message, error.Message, StringComparison.Ordinal);
            Assert.Equal("options", error.ParamName);
        }
    }
}
