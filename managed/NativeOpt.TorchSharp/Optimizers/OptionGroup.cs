namespace NativeOpt.TorchSharp;

/// <summary>A parameter group of an optimizer, with the options that the last step took.</summary>
internal sealed class OptionGroup
{
    private readonly RuleBinding _binding;
    private readonly double[] _hyperparameters;
    private readonly bool[] _flags;
    private readonly double[] _read;
    private readonly bool[] _readFlags;

    public OptionGroup(RuleBinding binding, int index, TorchGroup group)
    {
        _binding = binding;
        Index = index;
        Group = group;
        _hyperparameters = new double[binding.Rule.Hyperparameters.Count];
        _flags = new bool[binding.Rule.Flags.Count];
        _read = new double[_hyperparameters.Length];
        _readFlags = new bool[_flags.Length];
        Array.Fill(_hyperparameters, double.NaN); // so that all are checked at first
        Read();
        Take();
    }

    public int Index { get; }

    public TorchGroup Group { get; }

    /// <summary>A hyperparameter as it was last read.</summary>
    public double this[string hyperparameter] => _read[_binding.Rule.GetHyperparameter(hyperparameter).Index];

    /// <summary>Reads the options as they are now, and checks their ranges.</summary>
    /// <returns>Whether a flag changed, or a hyperparameter on which depends what states there are.</returns>
    /// <exception cref="ArgumentException">An option is out of its range, or one that the rule does not have is set.</exception>
    public bool Read()
    {
        if (!_binding.Options.IsOwn(Group.Options))
        {
            throw new ArgumentException(
                $"The options of group {Index} are {Group.Options?.GetType().FullName ?? "null"}; they must be "
                + $"{_binding.OptionsName}.");
        }

        if (_binding.Options.FindForeign(Group.Options) is { } foreign)
        {
            throw new ArgumentException(
                $"{foreign} of group {Index} is not 0, but the rule \"{_binding.Rule.Name}\" has none. Use TorchSharp's optimizer "
                + "for it.");
        }

        _binding.Options.Read(Group.Options, _read, _readFlags);
        bool needsRebuild = !_readFlags.AsSpan().SequenceEqual(_flags);
        for (int i = 0; i < _read.Length; i++)
        {
            if (_read[i] == _hyperparameters[i])
            {
                continue;
            }

            Hyperparameter own = _binding.Rule.Hyperparameters[i];
            if (!own.Allows(_read[i]))
            {
                throw new ArgumentException(FormattableString.Invariant(
                    $"{own.Name} of group {Index} is {_read[i]}; it must be {own.Range}."));
            }

            needsRebuild |= own.SelectsStates;
        }

        return needsRebuild;
    }

    /// <summary>Takes what was read as what counts, and tells the optimizer what changed.</summary>
    public void Take(OptimizerGroup? native = null)
    {
        for (int i = 0; i < _read.Length; i++)
        {
            if (_read[i] != _hyperparameters[i])
            {
                if (i == 0)
                {
                    native?.SetLearningRate(_read[i]); // The device may have to be told.
                }
                else if (native is not null)
                {
                    native[_binding.Rule.Hyperparameters[i].Name] = _read[i];
                }

                _hyperparameters[i] = _read[i];
            }
        }

        _readFlags.CopyTo(_flags, 0);
    }

    /// <summary>The states of the rule that the options last read need.</summary>
    public IReadOnlyList<RuleState> NeededStates() => ToRuleOptions(MasterWeights.None, new StepOptions()).GetStates();

    public RuleOptions ToRuleOptions(MasterWeights masters, StepOptions stepOptions) =>
        _binding.ToRuleOptions(_read, _readFlags, masters, stepOptions);
}
