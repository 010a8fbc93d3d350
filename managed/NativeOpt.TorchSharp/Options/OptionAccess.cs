using System.Reflection;

namespace NativeOpt.TorchSharp;

/// <summary>
/// How an optimizer reads the hyperparameters and flags of a rule in the options of a parameter group. Hyperparameters are in
/// the order of <see cref="Rule.Hyperparameters"/>, flags in that of <see cref="Rule.Flags"/>.
/// </summary>
internal abstract class OptionAccess
{
    /// <summary>Makes options in which nothing is set.</summary>
    public abstract TorchOptions Create();

    /// <summary>Whether options are of the kind that <see cref="Create"/> makes.</summary>
    public abstract bool IsOwn(TorchOptions options);

    /// <summary>Gives what is not set the value that it has in the defaults.</summary>
    public abstract void Complete(TorchOptions options, TorchOptions defaults);

    /// <summary>Reads all of them; allocates nothing.</summary>
    public abstract void Read(TorchOptions options, Span<double> hyperparameters, Span<bool> flags);

    /// <summary>Says which option is set that the rule does not have; null if there is none. Allocates nothing.</summary>
    public virtual string? FindForeign(TorchOptions options) => null;
}

/// <summary>Options of this library's own, by name.</summary>
internal sealed class OwnOptionAccess(Rule rule) : OptionAccess
{
    public override TorchOptions Create() => new FusedOptions();

    public override bool IsOwn(TorchOptions options) => options is FusedOptions;

    public override void Complete(TorchOptions options, TorchOptions defaults) =>
        ((FusedOptions)options).Bind(rule, (FusedOptions)defaults);

    public override void Read(TorchOptions options, Span<double> hyperparameters, Span<bool> flags) =>
        ((FusedOptions)options).Read(hyperparameters, flags);
}

/// <summary>
/// The options of one of TorchSharp's optimizers: fields that are called as the rule's hyperparameters and flags, but for those
/// that have another name there.
/// </summary>
internal sealed class TorchOptionAccess : OptionAccess
{
    private readonly Type _type;
    private readonly Rule _rule;
    private readonly IReadOnlyDictionary<string, string> _names;
    private readonly FieldInfo[] _fields;
    private readonly Func<TorchOptions, double?>?[] _hyperparameters;
    private readonly Func<TorchOptions, bool?>?[] _flags;
    private readonly (string Name, Func<TorchOptions, double?> Get)[] _foreign;

    /// <param name="type">TorchSharp's class of the options.</param>
    /// <param name="rule">The rule.</param>
    /// <param name="names">The names that differ in TorchSharp, by the rule's name.</param>
    public TorchOptionAccess(Type type, Rule rule, IReadOnlyDictionary<string, string> names)
    {
        _type = type;
        _rule = rule;
        _names = names;
        _fields = type.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.DeclaredOnly);
        _hyperparameters = [.. rule.Hyperparameters.Select(own => Getter<double?>(TorchName(own.Name)))];
        _flags = [.. rule.Flags.Select(own => Getter<bool?>(TorchName(own.Name)))];
        _foreign = [.. _fields.Where(field => !IsOfRule(field.Name)).Select(field => (field.Name, Getter<double?>(field.Name)
            ?? throw new NotSupportedException($"{type.FullName}.{field.Name} is neither an option of the rule nor a number.")))];
    }

    public override TorchOptions Create() => (TorchOptions)Activator.CreateInstance(_type)!;

    public override bool IsOwn(TorchOptions options) => options.GetType() == _type;

    public override void Complete(TorchOptions options, TorchOptions defaults)
    {
        options.LearningRate ??= defaults.LearningRate;
        foreach (FieldInfo field in _fields)
        {
            if (field.GetValue(options) is null)
            {
                field.SetValue(options, field.GetValue(defaults));
            }
        }
    }

    public override void Read(TorchOptions options, Span<double> hyperparameters, Span<bool> flags)
    {
        for (int i = 0; i < _hyperparameters.Length; i++)
        {
            hyperparameters[i] = _hyperparameters[i]?.Invoke(options) ?? _rule.Hyperparameters[i].Default;
        }

        // The learning rate is a property of every kind of options, and the first hyperparameter of every rule.
        hyperparameters[0] = options.LearningRate ?? hyperparameters[0];
        for (int i = 0; i < _flags.Length; i++)
        {
            flags[i] = _flags[i]?.Invoke(options) ?? false;
        }
    }

    public override string? FindForeign(TorchOptions options)
    {
        foreach ((string name, Func<TorchOptions, double?> get) in _foreign)
        {
            if (get(options) is not (null or 0))
            {
                return name;
            }
        }

        return null;
    }

    private bool IsOfRule(string name) =>
        _rule.Hyperparameters.Any(own => TorchName(own.Name) == name) || _rule.Flags.Any(own => TorchName(own.Name) == name);

    private string TorchName(string name) => _names.GetValueOrDefault(name, name);

    private Func<TorchOptions, T>? Getter<T>(string name) =>
        _fields.FirstOrDefault(field => field.Name == name && field.FieldType == typeof(T)) is { } field
            ? Fields.Getter<TorchOptions, T>(field)
            : null;
}
