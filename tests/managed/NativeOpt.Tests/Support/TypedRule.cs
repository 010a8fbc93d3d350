using System.Globalization;
using System.Reflection;

namespace NativeOpt.Tests.Support;

/// <summary>A typed optimizer of the library and its options, found by reflection, so that new ones are tested as they come.</summary>
internal sealed record TypedRule(Type Optimizer, Type Options)
{
    private const BindingFlags Plain = BindingFlags.Public | BindingFlags.Instance | BindingFlags.DoNotWrapExceptions;

    public static IReadOnlyList<TypedRule> All { get; } =
    [
        .. from optimizer in typeof(Optimizer).Assembly.GetExportedTypes()
           where optimizer.IsSubclassOf(typeof(Optimizer)) && !optimizer.IsAbstract
           from constructor in optimizer.GetConstructors()
           let options = constructor.GetParameters()[1].ParameterType
           where options.IsSubclassOf(typeof(OptimizerOptions)) && options != typeof(RuleOptions)
           select new TypedRule(optimizer, options),
    ];

    public string Name => Optimizer.Name;

    public string RuleName => Default().RuleName;

    /// <summary>The properties that are set with an initializer, the inherited ones included.</summary>
    public IEnumerable<PropertyInfo> Properties =>
        Options.GetProperties().Where(static property => property.SetMethod is { IsPublic: true });

    public static TypedRule Of(OptimizerOptions options) => All.Single(rule => rule.Options == options.GetType());

    public OptimizerOptions Default() => (OptimizerOptions)Activator.CreateInstance(Options)!;

    /// <summary>Copies options with another value of a property.</summary>
    public static OptimizerOptions With(OptimizerOptions options, PropertyInfo property, object value)
    {
        OptimizerOptions copy = options with { };
        Set(property, copy, value);
        return copy;
    }

    /// <summary>Sets a property; numbers become what the property is of.</summary>
    public static void Set(PropertyInfo property, object owner, object value) => property.SetValue(
        owner,
        property.PropertyType.IsEnum
            ? Enum.ToObject(property.PropertyType, Convert.ToInt32(value, CultureInfo.InvariantCulture))
            : Convert.ChangeType(value, property.PropertyType, CultureInfo.InvariantCulture));

    /// <summary>The number that a property has.</summary>
    public static double Number(PropertyInfo property, object owner) =>
        Convert.ToDouble(property.GetValue(owner), CultureInfo.InvariantCulture);

    /// <summary>Whether a property may be a hyperparameter: any number or choice, but for what is known to be none.</summary>
    public static bool IsNumber(PropertyInfo property) =>
        (property.PropertyType == typeof(double) || property.PropertyType == typeof(int) || property.PropertyType == typeof(long)
            || property.PropertyType.IsEnum)
        && property.Name is not (nameof(OptimizerOptions.MinDynamic8ElementCount) or nameof(OptimizerOptions.StateType)
            or nameof(OptimizerOptions.MasterWeights) or nameof(OptimizerGroup.StepCount));

    /// <summary>A value of a hyperparameter that is just above a bound of a state.</summary>
    public static double Above(Hyperparameter hyperparameter, double bound) =>
        hyperparameter.IsInteger ? Math.Floor(bound) + 1 : bound + 0.5;

    /// <summary>Values of a hyperparameter that select states: the smallest, and one above each state's bound.</summary>
    public static double[] Levels(Rule rule, Hyperparameter hyperparameter) =>
    [
        hyperparameter.Minimum,
        .. rule.States.Where(state => state.NeededHyperparameter == hyperparameter.Name).Select(static state => state.NeededAbove)
            .Distinct().Order().Select(bound => Above(hyperparameter, bound)),
    ];

    /// <summary>What a property says to the rule, by the rule's name of it; null for those that are no hyperparameter or flag.</summary>
    public string? DescribedName(PropertyInfo property)
    {
        List<string> names =
        [
            .. Default().Values("", "").Written
                .Where(written => written.Property == property.Name).Select(static written => written.Name),
        ];
        return names.Count == 0 ? null : names.Single();
    }

    /// <summary>Options with every state that the rule can have.</summary>
    public OptimizerOptions WithAllStates()
    {
        OptimizerOptions options = Default();
        foreach (PropertyInfo property in Properties)
        {
            if (DescribedName(property) is not { } name)
            {
                continue;
            }

            if (property.PropertyType == typeof(bool) && options.Rule.GetFlag(name).SelectsStates)
            {
                options = With(options, property, true);
            }
            else if (IsNumber(property) && options.Rule.GetHyperparameter(name) is { SelectsStates: true } own)
            {
                options = With(options, property, Levels(options.Rule, own)[^1]);
            }
        }

        return options;
    }

    /// <summary>Makes the optimizer with one group for each of the options.</summary>
    public Optimizer Create(ParameterSet set, params OptimizerOptions[] options)
    {
        Array groups = Array.CreateInstance(Options, options.Length);
        options.CopyTo(groups, 0);
        Type list = typeof(IReadOnlyList<>).MakeGenericType(Options);
        return (Optimizer)Optimizer.GetConstructor([typeof(ParameterSet), list])!.Invoke(Plain, null, [set, groups], null);
    }
}
