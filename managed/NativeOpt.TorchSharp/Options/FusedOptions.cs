using System.Globalization;

namespace NativeOpt.TorchSharp;

/// <summary>
/// Hyperparameters and flags of a rule that TorchSharp does not have, by the names that the rule describes
/// (<see cref="Rule.Hyperparameters"/>, <see cref="Rule.Flags"/>). Those that are left out have the optimizer's defaults.
/// </summary>
/// <remarks>
/// Biases are always corrected by β^t, as TorchSharp does, whatever "bias_correction_by_power" is.
/// </remarks>
/// <example><code>new FusedOptions { LearningRate = 1e-4, ["beta1"] = 0.95, ["maximize"] = 1 }</code></example>
public class FusedOptions : TorchOptions
{
    private readonly Dictionary<string, double> _set = [];

    // Once the options are a group's: all values, in the rule's order. Flags are 0 or 1.
    private Rule? _rule;
    private double[] _hyperparameters = [];
    private double[] _flags = [];

    /// <summary>A hyperparameter or, as 0 or 1, a flag. It may change between steps.</summary>
    /// <param name="name">The name, for example "beta1" or "amsgrad"; "lr" is the <c>LearningRate</c>.</param>
    /// <exception cref="KeyNotFoundException">It was not set, and the options are not yet those of an optimizer's group.</exception>
    /// <exception cref="ArgumentException">
    /// The rule has neither a hyperparameter nor a flag of this name, or a flag is neither 0 nor 1.
    /// </exception>
    public double this[string name]
    {
        get => name == "lr" && LearningRate is { } rate ? rate : _rule is null ? _set[name] : Place(name);
        set
        {
            ArgumentNullException.ThrowIfNull(name);
            if (name == "lr")
            {
                LearningRate = value;
            }
            else if (_rule is null)
            {
                _set[name] = value;
            }
            else
            {
                Write(name, value);
            }
        }
    }

    /// <summary>Writes the rule's name, the numbers of its hyperparameters and flags, and then all values.</summary>
    /// <param name="writer">Where to.</param>
    public override void SaveStateDict(BinaryWriter writer)
    {
        ArgumentNullException.ThrowIfNull(writer);
        writer.Write(_rule?.Name ?? "");
        writer.Write(_hyperparameters.Length);
        writer.Write(_flags.Length);
        writer.Write(InitialLearningRate);
        writer.Write(LearningRate ?? 0);
        foreach (double value in _hyperparameters.Concat(_flags))
        {
            writer.Write(value);
        }
    }

    /// <summary>Reads what <see cref="SaveStateDict"/> wrote.</summary>
    /// <param name="reader">Where from.</param>
    /// <exception cref="InvalidDataException">
    /// They are options of another rule, or of a version of the library in which the rule has other options. Nothing was changed.
    /// </exception>
    public override void LoadStateDict(BinaryReader reader)
    {
        ArgumentNullException.ThrowIfNull(reader);
        string rule = reader.ReadString();
        int hyperparameters = reader.ReadInt32(), flags = reader.ReadInt32();
        if (rule != (_rule?.Name ?? "") || hyperparameters != _hyperparameters.Length || flags != _flags.Length)
        {
            throw new InvalidDataException(string.Create(
                CultureInfo.InvariantCulture,
                $"The options are those of the rule \"{rule}\" with {hyperparameters} hyperparameters and {flags} flags; this "
                + $"optimizer's rule is \"{_rule?.Name}\" with {_hyperparameters.Length} and {_flags.Length}."));
        }

        double initialRate = reader.ReadDouble(), rate = reader.ReadDouble();
        double[] values = new double[hyperparameters + flags];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = reader.ReadDouble();
        }

        InitialLearningRate = initialRate;
        LearningRate = rate;
        values.AsSpan(0, hyperparameters).CopyTo(_hyperparameters);
        values.AsSpan(hyperparameters).CopyTo(_flags);
    }

    /// <summary>Copies the options of another group.</summary>
    /// <param name="source">Options of the same rule.</param>
    /// <exception cref="ArgumentException">They are options of another rule or of another class of optimizer.</exception>
    public override void LoadStateDict(TorchOptions source)
    {
        if (source is not FusedOptions other || other._rule?.Name != _rule?.Name)
        {
            throw new ArgumentException("The options are those of another rule or of another class of optimizer.", nameof(source));
        }

        base.LoadStateDict(source);
        other._hyperparameters.CopyTo(_hyperparameters, 0);
        other._flags.CopyTo(_flags, 0);
    }

    /// <summary>Whether the rule, once there is one, has such a hyperparameter.</summary>
    internal bool HasHyperparameter(string name) => _rule is not null && _rule.Hyperparameters.Any(own => own.Name == name);

    /// <summary>Makes these the options of a rule; what is not set is taken from the defaults, or else from the rule.</summary>
    internal void Bind(Rule rule, FusedOptions? defaults)
    {
        if (_rule is not null && _rule.Name != rule.Name)
        {
            throw new ArgumentException($"The options are those of the rule \"{_rule.Name}\", not of \"{rule.Name}\".");
        }

        if (_rule is null)
        {
            _rule = rule;
            _hyperparameters = defaults?._hyperparameters[..] ?? [.. rule.Hyperparameters.Select(static own => own.Default)];
            _flags = defaults?._flags[..] ?? [.. rule.Flags.Select(own => rule.DefaultFlags.Contains(own) ? 1.0 : 0.0)];
            try
            {
                foreach ((string name, double value) in _set)
                {
                    Write(name, value);
                }
            }
            catch
            {
                _rule = null;
                throw;
            }
        }

        LearningRate ??= defaults?.LearningRate ?? _hyperparameters[0];
    }

    internal void Read(Span<double> hyperparameters, Span<bool> flags)
    {
        _hyperparameters.CopyTo(hyperparameters);
        hyperparameters[0] = LearningRate ?? _hyperparameters[0];
        for (int i = 0; i < _flags.Length; i++)
        {
            flags[i] = _flags[i] != 0;
        }
    }

    private void Write(string name, double value)
    {
        ref double place = ref Place(name, out bool isFlag);
        if (isFlag && value is not (0 or 1))
        {
            throw new ArgumentException($"{name} is a flag; it is 0 or 1.", nameof(name));
        }

        place = value;
    }

    private double Place(string name) => Place(name, out _);

    private ref double Place(string name, out bool isFlag)
    {
        for (int i = 0; i < _hyperparameters.Length; i++)
        {
            if (_rule!.Hyperparameters[i].Name == name)
            {
                isFlag = false;
                return ref _hyperparameters[i];
            }
        }

        for (int i = 0; i < _flags.Length; i++)
        {
            if (_rule!.Flags[i].Name == name)
            {
                isFlag = true;
                return ref _flags[i];
            }
        }

        string known = string.Join(
            ", ", _rule!.Hyperparameters.Select(static own => own.Name).Concat(_rule.Flags.Select(static own => own.Name)));
        throw new ArgumentException($"The rule \"{_rule.Name}\" has no option \"{name}\"; it has {known}.", nameof(name));
    }
}
