using System.Reflection;
using NativeOpt.Interop;
using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Description;

/// <summary>What the native library says of its rules, and that the typed classes say the same, in both directions.</summary>
public unsafe class DescriptionTests
{
    public static TheoryData<string> Names => [.. Rule.All.Select(static rule => rule.Name)];

    public static TheoryData<string> TypedNames => [.. TypedRule.All.Select(static typed => typed.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Rules_describe_themselves(string name)
    {
        Rule rule = Rule.Get(name);
        Assert.Same(rule, Rule.Get(name));
        Assert.NotEqual("", rule.Source);
        Assert.NotEqual("", rule.Equations);
        Assert.Equal(name, rule.ToString());
        Assert.Equal(["lr", "weight_decay"], rule.Hyperparameters.Take(2).Select(static own => own.Name));
        Assert.Equal(Enumerable.Range(0, rule.Hyperparameters.Count), rule.Hyperparameters.Select(static own => own.Index));
        Assert.Equal(Enumerable.Range(0, rule.States.Count), rule.States.Select(static own => own.Index));
        Assert.Equal(Enumerable.Range(0, rule.Inputs.Count), rule.Inputs.Select(static own => own.Index));
        Assert.Equal(Enumerable.Range(0, rule.RunningScalars.Count), rule.RunningScalars.Select(static own => own.Index));
        Assert.All(rule.Hyperparameters, static own => Assert.True(own.Allows(own.Default) && own.Meaning != ""));
        Assert.All(rule.Flags, static own => Assert.NotEqual("", own.Meaning));
        Assert.All(rule.Inputs, static own => Assert.NotEqual("", own.Meaning));
        Assert.All(rule.RunningScalars, static own => Assert.NotEqual("", own.Meaning));
        Assert.All(rule.States, static own => Assert.True(own.DTypes.Contains(DType.Float32) && own.Meaning != ""));
        AllDiffer(rule.Hyperparameters.Select(static own => own.Name).Concat(rule.Flags.Select(static own => own.Name)));
        AllDiffer(rule.States.Select(static own => own.Name));
        AllDiffer(rule.RunningScalars.Select(static own => own.Name));

        static void AllDiffer(IEnumerable<string> names) => Assert.Equal(names.Distinct(), names);
    }

    [Fact]
    public void Names_that_there_are_not_are_refused()
    {
        Rule rule = Rule.Get("sgd");
        Refuses("There is no rule \"adma\"; the native library has " + string.Join(", ", NativeRuntime.Rules), () => Rule.Get("adma"));
        Refuses("The rule \"sgd\" has no hyperparameter \"beta1\"; it has lr, weight_decay, momentum", () => rule.GetHyperparameter("beta1"));
        Refuses("The rule \"sgd\" has no flag \"amsgrad\"; it has ", () => rule.GetFlag("amsgrad"));
        Refuses("The rule \"sgd\" has no input \"grad\"; it has none", () => rule.GetInput("grad"));
        Refuses("The rule \"sgd\" has no running scalar \"x\"; it has none", () => rule.GetRunningScalar("x"));
        Assert.Throws<ArgumentNullException>(() => Rule.Get(null!));

        static void Refuses(string message, Func<object> find)
        {
            ArgumentException error = Assert.Throws<ArgumentException>(find);
            Assert.Equal("name", error.ParamName);
            Assert.StartsWith(message, error.Message, StringComparison.Ordinal);
        }
    }

    /// <summary>The managed check of a value and the native one are the same.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void Ranges_are_the_librarys(string name)
    {
        double[] values =
            [double.NaN, double.NegativeInfinity, -1e39, -2, -1e-300, 0, 1e-300, 1e-46, 1e-39, Check.SmallestNormal, 0.5, Math.BitDecrement(1), 1, 1.5, 2, 1e16, 1e22, 1e23, 1e39, double.PositiveInfinity];
        Rule rule = Rule.Get(name);
        foreach (Hyperparameter own in rule.Hyperparameters)
        {
            foreach (double value in values.Concat([own.Default, own.Minimum, Math.BitDecrement(own.Minimum), own.Maximum, Math.BitIncrement(own.Maximum)]))
            {
                nopt_hyperparams native = new RuleOptions(name).Values("", "").Native;
                fixed (byte* ruleName = RuleReader.Utf8(name), valueName = RuleReader.Utf8(own.Name))
                {
                    nopt_status status = NativeMethods.nopt_hyperparams_set((sbyte*)ruleName, &native, (sbyte*)valueName, value);
                    Assert.Equal((own.Name, value, status == nopt_status.NOPT_OK), (own.Name, value, own.Allows(value)));
                }
            }
        }
    }

    /// <summary>Every hyperparameter and flag comes from one property, and every property that could be one is one.</summary>
    [Theory]
    [MemberData(nameof(TypedNames))]
    public void Options_have_a_property_for_each_hyperparameter_and_flag(string name)
    {
        TypedRule typed = TypedRule.All.Single(own => own.Name == name);
        OptimizerOptions options = typed.WithAllStates();
        Rule rule = options.Rule;
        List<(string Name, string Property)> written = options.Values("", "").Written;
        Assert.Equal(
            rule.Hyperparameters.Select(static own => own.Name).Concat(rule.Flags.Select(static own => own.Name)).Order(),
            written.Select(static one => one.Name).Order());

        // What a class fixes is written as such; AdamW and the like.
        string[] properties = [.. written.Select(static one => one.Property).Where(static property => property != "true")];
        Assert.Equal(properties.Distinct(), properties);
        string[] numbersAndFlags =
        [
            .. typed.Properties
                .Where(static property => TypedRule.IsNumber(property) || property.PropertyType == typeof(bool))
                .Select(static property => property.Name)
                .Where(property => property != nameof(OptimizerOptions.Maximize) || rule.Flags.Any(static flag => flag.Name == "maximize")),
        ];
        Assert.Equal(numbersAndFlags.Order(), properties.Order());

        // Another value of a property is another value of what it is said to be, and of nothing else.
        foreach (PropertyInfo property in typed.Properties.Where(property => properties.Contains(property.Name)))
        {
            string described = written.Single(one => one.Property == property.Name).Name;
            object value = property.PropertyType == typeof(bool)
                ? !(bool)property.GetValue(options)!
                : Another(rule.GetHyperparameter(described), TypedRule.Number(property, options));
            nopt_hyperparams before = options.Values("", "").Native;
            nopt_hyperparams after = TypedRule.With(options, property, value).Values("", "").Native;
            Assert.Equal(
                property.PropertyType == typeof(bool) ? rule.GetFlag(described).Bit : 0, before.flags ^ after.flags);
            for (int i = 0; i < NativeMethods.NOPT_MAX_HYPERPARAMS; i++)
            {
                bool isIt = value is double && i == rule.GetHyperparameter(described).Index;
                Assert.Equal(isIt ? (double)value : before.values[i], after.values[i]);
            }
        }
    }

    [Theory]
    [MemberData(nameof(TypedNames))]
    public void Groups_and_optimizers_have_a_property_for_each_hyperparameter(string name)
    {
        TypedRule typed = TypedRule.All.Single(own => own.Name == name);
        using Model model = new(3);
        using Optimizer optimizer = typed.Create(model.Set, typed.WithAllStates());
        OptimizerGroup group = optimizer.Groups[0];
        string[] notHyperparameters = [nameof(OptimizerGroup.Beta1Product), nameof(OptimizerGroup.Beta2Product)];
        foreach (object owner in new object[] { group, optimizer })
        {
            HashSet<string> found = [];
            foreach (PropertyInfo property in owner.GetType().GetProperties().Where(
                property => TypedRule.IsNumber(property) && property.GetIndexParameters().Length == 0
                    && property.SetMethod is { IsPublic: true } && !notHyperparameters.Contains(property.Name)))
            {
                Dictionary<string, double> before = Values();
                Hyperparameter own = optimizer.Rule.Hyperparameters.Single(
                    hyperparameter => group.Values.PropertyOf(hyperparameter) == property.Name);
                double value = Another(own, TypedRule.Number(property, owner));
                TypedRule.Set(property, owner, value);
                string changed = Values().Single(one => before[one.Key] != one.Value).Key;
                Assert.Equal(value, group[changed]);
                Assert.Equal(own.Name, changed);
                Assert.True(found.Add(changed));
            }

            Assert.Equal(optimizer.Rule.Hyperparameters.Select(static own => own.Name).Order(), found.Order());
        }

        Dictionary<string, double> Values() =>
            optimizer.Rule.Hyperparameters.ToDictionary(static own => own.Name, own => group[own.Name]);
    }

    /// <summary>Another value in the range.</summary>
    private static double Another(Hyperparameter hyperparameter, double value)
    {
        double difference = hyperparameter.IsInteger ? 1 : 0.0078125;
        return hyperparameter.Allows(value + difference) ? value + difference : value - difference;
    }

    /// <summary>The members of StateRole are conveniences: each names a state of some rule, or a role.</summary>
    [Fact]
    public void Known_states_and_roles_are_the_librarys()
    {
        HashSet<string> known = [.. Rule.All.SelectMany(static rule => rule.States).Select(static state => state.Name)];
        for (int i = 0; i < NativeMethods.nopt_role_count(); i++)
        {
            nopt_role_info info = new() { struct_size = (uint)sizeof(nopt_role_info) };
            Assert.Equal(nopt_status.NOPT_OK, NativeMethods.nopt_role_get_info(i, &info));
            known.Add(NativeError.Text(info.name));
            Assert.Equal(NativeError.Text(info.name), RoleTable.Name((nopt_role)info.role));
        }

        StateRole[] members =
        [
            .. typeof(StateRole).GetProperties(BindingFlags.Public | BindingFlags.Static)
                .Where(static property => property.PropertyType == typeof(StateRole))
                .Select(static property => (StateRole)property.GetValue(null)!),
        ];
        Assert.NotEmpty(members);
        Assert.All(members, role => Assert.Contains(role.Name, known));
        StateRole converted = "exp_avg";
        Assert.Equal((StateRole.ExpAvg, "exp_avg"), (converted, converted.ToString()));
        Assert.Equal("", default(StateRole).ToString());
    }

    /// <summary>The native library needs exactly the states that the description leads to.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void States_are_those_that_steps_need(string name)
    {
        Rule rule = Rule.Get(name);
        string[] flags = [.. rule.Flags.Where(static flag => flag.SelectsStates).Select(static flag => flag.Name)];
        Hyperparameter[] values = [.. rule.Hyperparameters.Where(static own => own.SelectsStates)];
        double[][] levels = Array.ConvertAll(values, own => TypedRule.Levels(rule, own));
        int choices = levels.Aggregate(1 << flags.Length, static (product, own) => product * own.Length);
        for (int choice = 0; choice < choices; choice++)
        {
            int rest = choice >> flags.Length;
            RuleOptions options = new(name)
            {
                Flags = [.. rule.DefaultFlags.Select(static flag => flag.Name), .. flags.Where((_, i) => (choice >> i & 1) != 0)],
                Hyperparameters = values.Zip(levels).ToDictionary(static one => one.First.Name, one =>
                {
                    (rest, int level) = Math.DivRem(rest, one.Second.Length);
                    return one.Second[level];
                }),
            };
            using Model model = new(3);
            using RuleOptimizer optimizer = new(model.Set, options);
            uint mask;
            using (HandleLease lease = new(optimizer.Handle, optimizer))
            {
                Assert.Equal(
                    nopt_status.NOPT_OK,
                    NativeMethods.nopt_optimizer_get_roles(
                        (nopt_optimizer*)lease.Pointer, optimizer.StepHyperparameters, &mask));
            }

            Assert.Equal(
                mask & ~((1u << (int)nopt_role.NOPT_ROLE_PARAM) | (1u << (int)nopt_role.NOPT_ROLE_GRAD)),
                options.GetStates().Aggregate(0u, static (bits, state) => bits | 1u << (int)StateLayouts.NativeRole(state)));
            Assert.Equal(options.GetStates().Select(static state => state.Role), optimizer.StateRoles);
            optimizer.Step();
        }
    }
}
