using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Description;

/// <summary>Rules by their names: the same steps as with the typed classes, and every wrong name refused.</summary>
public class RuleOptimizerTests
{
    private static readonly int[] Sizes = [5, 0, 300, 4097];

    public static TheoryData<string> Names => [.. Rule.All.Select(static rule => rule.Name)];

    public static TheoryData<string> TypedNames => [.. TypedRule.All.Select(static typed => typed.Name)];

    [Theory]
    [MemberData(nameof(TypedNames))]
    public void Steps_are_those_of_the_typed_class(string name)
    {
        TypedRule typed = TypedRule.All.Single(own => own.Name == name);
        foreach (OptimizerOptions options in new[] { typed.Default(), typed.WithAllStates() with { WeightDecay = 0.2, LearningRate = 0.03 } })
        {
            using Model model = new(Sizes);
            using Model other = new(Sizes);
            using Optimizer expected = typed.Create(model.Set, options);
            OptimizerGroup group = expected.Groups[0];
            using RuleOptimizer actual = new(other.Set, new RuleOptions(typed.RuleName)
            {
                Hyperparameters = expected.Rule.Hyperparameters.ToDictionary(static own => own.Name, own => group[own.Name]),
                Flags = [.. expected.Rule.Flags.Select(static flag => flag.Name).Where(group.HasFlag)],
            });
            Assert.Equal((options.LearningRate, options.WeightDecay), (actual.LearningRate, actual.WeightDecay));
            for (int step = 1; step <= 5; step++)
            {
                model.Step(expected, step, step);
                other.Step(actual, step, step);
                expected.LearningRate = 0.01 / step;
                actual.Groups[0]["lr"] = 0.01 / step;
            }

            Assert.Equal(Snapshot.Of(expected), Snapshot.Of(actual));
            using MemoryStream file = new();
            expected.Save(file);
            file.Position = 0;
            actual.StepCount = 3;
            actual.Load(file);
            Assert.Equal(Snapshot.Of(expected), Snapshot.Of(actual));
        }
    }

    /// <summary>Without options it is the rule as the library has it.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void Defaults_are_the_rules(string name)
    {
        Rule rule = Rule.Get(name);
        RuleOptions options = new(name);
        Assert.Same(rule, options.Rule);
        Assert.Equal(rule.Hyperparameters[0].Default, options.LearningRate);
        Assert.Equal(rule.Hyperparameters[1].Default, options.WeightDecay);
        Assert.Equal(rule.DefaultFlags.Select(static flag => flag.Name), options.Flags);
        using Model model = new(3);
        using RuleOptimizer optimizer = new(model.Set, options);
        Assert.All(rule.Hyperparameters, own => Assert.Equal(own.Default, optimizer.Groups[0][own.Name]));
        Assert.All(rule.Flags, flag => Assert.Equal(rule.DefaultFlags.Contains(flag), optimizer.Groups[0].HasFlag(flag.Name)));
    }

    [Fact]
    public void The_learning_rate_that_was_set_last_counts()
    {
        RuleOptions options = new("adam") { LearningRate = 1, Hyperparameters = new Dictionary<string, double> { ["lr"] = 2, ["weight_decay"] = 3 } };
        Assert.Equal((2, 3), (options.LearningRate, options.WeightDecay));
        Assert.Equal(4, (options with { LearningRate = 4 }).Values("", "").Native.values[0]);
        Assert.True(new RuleOptions("adam") { Flags = ["maximize"] }.Maximize);
    }

    [Fact]
    public void Names_and_values_that_do_not_fit_are_refused()
    {
        using Model model = new(3);
        Refuses<ArgumentException>(
            "The rule \"sgd\" has no hyperparameter \"beta1\"; it has lr, weight_decay, momentum", "sgd", new() { ["beta1"] = 0.5 });
        Refuses<ArgumentException>("inverse is set, but the rule \"adam\" has no flag \"inverse\"; it has ", "adam", [], "inverse");
        Refuses<ArgumentOutOfRangeException>("beta1 is 1.5; it must be in [0, 1).", "adam", new() { ["beta1"] = 1.5 });
        Refuses<ArgumentOutOfRangeException>("eps is -1; it must be 0, or normal and finite as a float (1.18e-38 to 3.4e38).", "adam", new() { ["eps"] = -1 });
        Refuses<ArgumentException>("nesterov needs a momentum above 0.", "sgd", [], "nesterov");
        Assert.Throws<ArgumentNullException>(() => new RuleOptimizer(model.Set, (RuleOptions)null!));
        using ParameterSet two = ParameterSet.FromArrays([[1], [2]], [[1], [2]], [new(), new() { Group = 1 }]);
        Assert.Contains(
            "options[1].Rule is sgd, but options[0].Rule is adam",
            Assert.Throws<ArgumentException>(() => new RuleOptimizer(two, [new("adam"), new("sgd")])).Message,
            StringComparison.Ordinal);

        using RuleOptimizer optimizer = new(model.Set, new RuleOptions("adam"));
        OptimizerGroup group = optimizer.Groups[0];
        Assert.Equal(
            "hyperparameter", Assert.Throws<ArgumentException>(() => group["momentum"]).ParamName);
        Snapshot.Unchanged<ArgumentException>(optimizer, () => group["momentum"] = 1);
        Assert.StartsWith(
            "beta2 is 1; it must be in [0, 1).",
            Snapshot.Unchanged<ArgumentOutOfRangeException>(optimizer, () => group["beta2"] = 1).Message,
            StringComparison.Ordinal);
        optimizer.SetCapturable(true);
        Assert.Throws<InvalidOperationException>(() => group["lr"] = 0.5);

        void Refuses<TException>(string message, string rule, Dictionary<string, double> values, params string[] flags)
            where TException : ArgumentException
        {
            TException error = Assert.Throws<TException>(
                () => new RuleOptimizer(model.Set, new RuleOptions(rule) { Hyperparameters = values, Flags = flags }));
            Assert.Equal("options", error.ParamName);
            Assert.StartsWith(message, error.Message, StringComparison.Ordinal);
        }
    }

    /// <summary>States begin as the rule says, and with no other type than it allows.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void States_begin_as_described(string name)
    {
        Rule rule = Rule.Get(name);
        TensorOptions[] tensors = [new(), new() { LearningRateScale = 0.5 }];
        foreach (DType type in new[] { DType.Float32, DType.BFloat16, DType.Dynamic8 })
        {
            using Model model = new([5, 300], tensors);
            RuleOptions options = new(name) { StateType = type, MinDynamic8ElementCount = type == DType.Dynamic8 ? 0 : 4096 };
            if (options.GetStates().Any(state => !state.DTypes.Contains(type)))
            {
                Assert.ThrowsAny<ArgumentException>(() => new RuleOptimizer(model.Set, options));
                continue;
            }

            using RuleOptimizer optimizer = new(model.Set, options);
            foreach (RuleState state in options.GetStates())
            {
                for (int tensor = 0; tensor < 2; tensor++)
                {
                    double expected = state.InitialHyperparameter is { } from
                        ? rule.GetHyperparameter(from).Default * (from == "lr" ? model.Set.GetLearningRateScale(tensor) : 1)
                        : state.InitialValue;
                    Assert.All(
                        Snapshot.Values(optimizer, state.Role, tensor),
                        value => Assert.Equal((float)expected, value, Math.Abs(expected) / 128));
                }
            }

            optimizer.Step();
        }
    }

    /// <summary>Inputs are read where they are given, and stay until they are taken away.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void Inputs_are_given_by_name(string name)
    {
        using Model with = new(Sizes);
        using Model without = new(Sizes);
        using RuleOptimizer given = new(with.Set, new RuleOptions(name));
        using RuleOptimizer plain = new(without.Set, new RuleOptions(name));
        TensorRef[] none = [.. Sizes.Select(static size => TensorRef.FromPointer(0, size))];
        Snapshot.Unchanged<ArgumentException>(given, () => given.SetInput("no_such_input", none));
        Snapshot.Unchanged<ArgumentException>(given, () => given.ClearInput("no_such_input"));
        foreach (RuleInput input in given.Rule.Inputs)
        {
            using DeviceBuffer<float> memory = new(Device.Cpu, 8192);
            memory.AsSpan().Fill(0.25f);
            nint a = memory.Pointer;
            Snapshot.Unchanged<ArgumentException>(given, () => given.SetInput(input.Name, none.AsSpan(1)));
            Snapshot.Unchanged<ArgumentException>(
                given, () => given.SetInput(input.Name, [TensorRef.FromPointer(a, 4), none[1], none[2], none[3]]));
            Snapshot.Unchanged<NotSupportedException>(
                given, () => given.SetInput(input.Name, [TensorRef.FromPointer(a, 5, DType.Dynamic8), none[1], none[2], none[3]]));
            given.SetInput(input.Name, none);
            with.Step(given, 1, 2);
            without.Step(plain, 1, 2);
            Assert.Equal(Snapshot.Of(plain), Snapshot.Of(given));
            given.SetInput(input.Name, [TensorRef.FromPointer(a, 5), none[1], TensorRef.FromPointer(a, 300, DType.BFloat16), none[3]]);
            with.Step(given, 3, 3);
            without.Step(plain, 3, 3);
            Assert.NotEqual(States(plain, 0), States(given, 0));
            Assert.NotEqual(States(plain, 2), States(given, 2));
            Assert.Equal(States(plain, 3), States(given, 3));
            given.ClearInput(input.Name);
            given.ClearInput(input.Name);
            given.SetInput(input.Name, [0, 0, 0, a]);
            with.Step(given, 4, 4);
            without.Step(plain, 4, 4);
            Assert.NotEqual(States(plain, 3), States(given, 3));
            given.ClearInput(input.Name);
        }

        static string States(Optimizer optimizer, int tensor) =>
            string.Join(' ', optimizer.StateRoles.Select(role => Snapshot.Bits(optimizer.GetState(role, tensor))));
    }
}
