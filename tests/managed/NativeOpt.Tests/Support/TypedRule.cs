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
        property.SetValue(copy, value);
        return copy;
    }

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
            else if (property.PropertyType == typeof(double) && options.Rule.GetHyperparameter(name).SelectsStates)
            {
                double above = options.Rule.States.Single(state => state.NeededHyperparameter == name).NeededAbove;
                options = With(options, property, above + 0.5);
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
