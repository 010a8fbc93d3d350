using System.Globalization;
using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>The metadata of a state file: step counts, running scalars, groups, and what a dimer has beside its direction.</summary>
/// <remarks>
/// Of each group there is one number for each key, with spaces between them. Tensors that differ from their group have
/// "NAME.step" and the running scalars as "NAME.beta1_product" and so on.
/// </remarks>
internal sealed class StateMetadata
{
    public const string Format = "nativeopt-state/2";
    public const string FormatKey = "format";

    // What tensors of U8 are: the states of Dynamic8, block by block, as the C header defines it.
    public const string BytesTypeKey = "u8_dtype";

    private const string RuleKey = "rule";
    private const string StepKey = "step";
    private const string GroupCountKey = "group_count";
    private const string GroupKey = "group";
    private const string VersionKey = "library_version";
    private const string DimerScopeKey = "dimer_scope";
    private const string DimerSeedKey = "dimer_seed";
    private const string DimerStepKey = "dimer_step";
    private const string DimerGradientEvaluationsKey = "dimer_gradient_evaluations";
    private const string DimerCurvatureKey = "dimer_curvature";
    private const string DimerConjugationKey = "dimer_conjugation";
    private const string DimerLossesKey = "dimer_losses";
    private const string DimerSpikeLengthKey = "dimer_spike_length";
    private const string DimerActiveSinceKey = "dimer_active_since";
    private const string DimerActiveUntilKey = "dimer_active_until";

    private static readonly string[] DimerKeys =
    [
        DimerScopeKey, DimerSeedKey, DimerStepKey, DimerGradientEvaluationsKey, DimerCurvatureKey, DimerConjugationKey,
        DimerLossesKey, DimerSpikeLengthKey, DimerActiveSinceKey, DimerActiveUntilKey,
    ];

    private readonly IReadOnlyDictionary<string, string> _texts;
    private readonly Optimizer _optimizer;

    /// <summary>Reads and checks all of it.</summary>
    public StateMetadata(IReadOnlyDictionary<string, string> texts, Optimizer optimizer, DimerOptimizer? dimer)
    {
        _texts = texts;
        _optimizer = optimizer;
        RequireDimerOrNone(dimer);
        RequireValue(FormatKey, Format);
        RequireValue(RuleKey, optimizer.RuleName);
        RequireGroups();
        RequireKnownKeys();
        Dimer = dimer is null ? null : ReadDimer(dimer);
        Groups = ReadGroups();
        Tensors = ReadTensors();
    }

    /// <summary>The step count and the running scalars of each group.</summary>
    public nopt_step_state[] Groups { get; }

    /// <summary>The step count and the running scalars of each tensor.</summary>
    public nopt_step_state[] Tensors { get; }

    /// <summary>What a dimer had; null if the file is of none.</summary>
    public DimerScalars? Dimer { get; }

    /// <summary>Writes the metadata of an optimizer, and of the dimer around it unless that is null.</summary>
    public static Dictionary<string, string> Of(Optimizer optimizer, nopt_step_state[] groups, DimerOptimizer? dimer)
    {
        ParameterSet set = optimizer.ParameterSet;
        Dictionary<string, string> texts = new()
        {
            [FormatKey] = Format,
            [RuleKey] = optimizer.RuleName,
            [StepKey] = OfEach(groups, StepText),
        };
        foreach (RunningScalar scalar in optimizer.Rule.RunningScalars)
        {
            texts[scalar.Name] = OfEach(groups, group => RunningText(group, scalar));
        }

        texts[VersionKey] = NativeRuntime.Version;
        if (groups.Length > 1)
        {
            texts[GroupCountKey] = groups.Length.ToString(CultureInfo.InvariantCulture);
            for (int tensor = 0; tensor < set.Count; tensor++)
            {
                texts[KeyOf(set, tensor, GroupKey)] = set.GetGroup(tensor).ToString(CultureInfo.InvariantCulture);
            }
        }

        nopt_step_state[] tensors = optimizer.TensorStates();
        for (int tensor = 0; tensor < set.Count; tensor++)
        {
            nopt_step_state own = tensors[tensor];
            if (Rule.AreSame(own, groups[set.GetGroup(tensor)]))
            {
                continue;
            }

            texts[KeyOf(set, tensor, StepKey)] = StepText(own);
            foreach (RunningScalar scalar in optimizer.Rule.RunningScalars)
            {
                texts[KeyOf(set, tensor, scalar.Name)] = RunningText(own, scalar);
            }
        }

        if (dimer is not null)
        {
            texts[DimerScopeKey] = ScopeText(dimer);
            texts[DimerSeedKey] = dimer.Options.Seed.ToString(CultureInfo.InvariantCulture);
            texts[DimerStepKey] = dimer.StepCount.ToString(CultureInfo.InvariantCulture);
            texts[DimerGradientEvaluationsKey] = dimer.GradientEvaluations.ToString(CultureInfo.InvariantCulture);
            texts[DimerCurvatureKey] = dimer.CurvatureText;
            if (dimer.KeepsSearch)
            {
                texts[DimerConjugationKey] = dimer.ConjugationText;
            }

            if (dimer.Activity is { } activity)
            {
                texts[DimerLossesKey] = string.Join(
                    ' ', activity.Losses.Select(static loss => loss.ToString("R", CultureInfo.InvariantCulture)));
                texts[DimerSpikeLengthKey] = activity.SpikeLength.ToString(CultureInfo.InvariantCulture);
                texts[DimerActiveSinceKey] = activity.Since.ToString(CultureInfo.InvariantCulture);
                texts[DimerActiveUntilKey] = activity.Until.ToString(CultureInfo.InvariantCulture);
            }
        }

        return texts;
    }

    /// <summary>Throws unless a key has a value.</summary>
    public void RequireValue(string key, string expected)
    {
        string value = Value(key);
        if (value != expected)
        {
            throw new InvalidDataException($"The file's {key} is {Printable.Quoted(value)}, not \"{expected}\".");
        }
    }

    private static string OfEach(nopt_step_state[] states, Func<nopt_step_state, string> text) =>
        string.Join(' ', states.Select(text));

    private static string StepText(nopt_step_state state) => state.step.ToString(CultureInfo.InvariantCulture);

    private static string RunningText(nopt_step_state state, RunningScalar scalar) =>
        state.running[scalar.Index].ToString("R", CultureInfo.InvariantCulture);

    private static string KeyOf(ParameterSet set, int tensor, string key) => $"{set.Names[tensor]}.{key}";

    private static string ScopeText(DimerOptimizer dimer) =>
        dimer.Options.Scope == DimerScope.Global ? "global" : "per-tensor";

    private nopt_step_state[] ReadGroups()
    {
        int count = _optimizer.Groups.Count;
        nopt_step_state[] groups = new nopt_step_state[count];
        Array.Fill(groups, _optimizer.Rule.InitialState);
        string[] steps = OfEachGroup(StepKey, count);
        for (int group = 0; group < count; group++)
        {
            groups[group].step = ParseCount(StepKey, steps[group]);
        }

        foreach (RunningScalar scalar in _optimizer.Rule.RunningScalars)
        {
            string[] values = OfEachGroup(scalar.Name, count);
            for (int group = 0; group < count; group++)
            {
                groups[group].running[scalar.Index] = ParseNumber(scalar.Name, values[group]);
            }
        }

        Array.ForEach(groups, RequirePossible);
        return groups;
    }

    private nopt_step_state[] ReadTensors()
    {
        ParameterSet set = _optimizer.ParameterSet;
        nopt_step_state[] tensors = new nopt_step_state[set.Count];
        for (int tensor = 0; tensor < set.Count; tensor++)
        {
            tensors[tensor] = Groups[set.GetGroup(tensor)];
            string[] keys =
                [StepKey, .. _optimizer.Rule.RunningScalars.Select(static scalar => scalar.Name)];
            if (!keys.Any(key => _texts.ContainsKey(KeyOf(set, tensor, key))))
            {
                continue;
            }

            tensors[tensor].step = ReadCount(KeyOf(set, tensor, StepKey));
            foreach (RunningScalar scalar in _optimizer.Rule.RunningScalars)
            {
                string key = KeyOf(set, tensor, scalar.Name);
                tensors[tensor].running[scalar.Index] = ParseNumber(key, Value(key));
            }

            RequirePossible(tensors[tensor]);
        }

        return tensors;
    }

    private void RequirePossible(nopt_step_state state)
    {
        if (_optimizer.Rule.WhyImpossible(state) is { } why)
        {
            throw new InvalidDataException($"The file's step and running scalars are impossible: {why}.");
        }
    }

    /// <summary>Throws unless the file's groups are the optimizer's. A file that says nothing of groups has one.</summary>
    private void RequireGroups()
    {
        long count = _texts.ContainsKey(GroupCountKey) ? ReadCount(GroupCountKey) : 1;
        if (count != _optimizer.Groups.Count)
        {
            throw new InvalidDataException(
                $"The file has {count} groups of hyperparameters, the optimizer has {_optimizer.Groups.Count}. Load it with one of "
                + "the same groups; another optimizer can then take the states over (TakeOver).");
        }

        ParameterSet set = _optimizer.ParameterSet;
        for (int tensor = 0; tensor < set.Count && count > 1; tensor++)
        {
            long group = ReadCount(KeyOf(set, tensor, GroupKey));
            if (group != set.GetGroup(tensor))
            {
                throw new InvalidDataException(
                    $"In the file, {StateTransfer.Describe(set, tensor)} is in group {group}; in the set it is in group "
                    + $"{set.GetGroup(tensor)}.");
            }
        }
    }

    private void RequireDimerOrNone(DimerOptimizer? dimer)
    {
        if (dimer is null && _texts.ContainsKey(DimerScopeKey))
        {
            throw new InvalidDataException(
                "The file is of an optimizer with a dimer around it; load it with a DimerOptimizer.");
        }

        if (dimer is not null && !_texts.ContainsKey(DimerScopeKey))
        {
            throw new InvalidDataException(
                $"The file's metadata has no {DimerScopeKey}: it is of an optimizer without a dimer; load it with the "
                + "optimizer itself.");
        }
    }

    private void RequireKnownKeys()
    {
        string[] running = [.. _optimizer.Rule.RunningScalars.Select(static scalar => scalar.Name)];
        string[] ofTensors = [GroupKey, StepKey, .. running];
        HashSet<string> known =
            [FormatKey, RuleKey, StepKey, GroupCountKey, VersionKey, BytesTypeKey, .. DimerKeys, .. running];
        bool hasGroups = _texts.ContainsKey(GroupCountKey);
        foreach (string name in _optimizer.ParameterSet.Names)
        {
            known.UnionWith(ofTensors.Where(key => hasGroups || key != GroupKey).Select(key => $"{name}.{key}"));
        }

        if (_texts.Keys.FirstOrDefault(key => !known.Contains(key)) is { } unknown)
        {
            bool isOfTensor = Array.Exists(ofTensors, key => unknown.EndsWith('.' + key, StringComparison.Ordinal));
            throw new InvalidDataException(
                !isOfTensor ? $"The metadata has {Printable.Quoted(unknown)}, which {Format} does not know."
                : $"The file's metadata has {Printable.Quoted(unknown)}, but the set has no such tensor"
                    + (unknown.EndsWith('.' + GroupKey, StringComparison.Ordinal) ? " in a group" : "")
                    + "; it was saved by another model.");
        }
    }

    private DimerScalars ReadDimer(DimerOptimizer dimer)
    {
        RequireValue(DimerScopeKey, ScopeText(dimer));
        string text = Value(DimerSeedKey);
        if (!ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong seed))
        {
            throw new InvalidDataException(
                $"The file's {DimerSeedKey} is {Printable.Quoted(text)}; it must be a whole number of 64 bits.");
        }

        bool hasSearch = _texts.ContainsKey(DimerConjugationKey);
        return new DimerScalars(
            OfEachScope(
                dimer, DimerCurvatureKey, static value => !double.IsInfinity(value), "finite numbers, or NaN for none"),
            hasSearch
                ? OfEachScope(dimer, DimerConjugationKey, double.IsFinite, "finite numbers")
                : new double[dimer.ScopeCount],
            hasSearch,
            seed,
            ReadCount(DimerStepKey),
            ReadCount(DimerGradientEvaluationsKey),
            _texts.ContainsKey(DimerLossesKey) ? ReadActivity() : null);
    }

    private DimerActivity ReadActivity() => new(
        [
            .. Value(DimerLossesKey).Split(' ', StringSplitOptions.RemoveEmptyEntries)
                .Select(static text => ParseNumber(DimerLossesKey, text)),
        ],
        (int)Math.Min(ReadCount(DimerSpikeLengthKey), int.MaxValue),
        ReadCount(DimerActiveSinceKey),
        ReadCount(DimerActiveUntilKey));

    private double[] OfEachScope(DimerOptimizer dimer, string key, Func<double, bool> fits, string what)
    {
        string[] numbers = Value(key).Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (numbers.Length != dimer.ScopeCount)
        {
            throw new InvalidDataException(
                $"The file's {key} has {numbers.Length} numbers; the dimer has {dimer.ScopeCount} scopes.");
        }

        double[] values = new double[numbers.Length];
        for (int i = 0; i < numbers.Length; i++)
        {
            if (!double.TryParse(numbers[i], NumberStyles.Float, CultureInfo.InvariantCulture, out values[i])
                || !fits(values[i]))
            {
                throw new InvalidDataException(
                    $"The file's {key} has {Printable.Quoted(numbers[i])}; it must be {what}.");
            }
        }

        return values;
    }

    private string[] OfEachGroup(string key, int count)
    {
        string text = Value(key);
        string[] numbers = count == 1 ? [text] : text.Split(' ');
        return numbers.Length == count
            ? numbers
            : throw new InvalidDataException(
                $"The file's {key} is {Printable.Quoted(text)}; it must be {count} numbers, one for each group.");
    }

    private string Value(string key) =>
        _texts.TryGetValue(key, out string? value)
            ? value
            : throw new InvalidDataException($"The file's metadata has no {key}; it must be a {Format} file.");

    private long ReadCount(string key) => ParseCount(key, Value(key));

    private static long ParseCount(string key, string text) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long count)
            ? count
            : throw new InvalidDataException(
                $"The file's {key} is {Printable.Quoted(text)}; it must be a whole number from 0.");

    private static double ParseNumber(string key, string text)
    {
        const NumberStyles Styles =
            NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent;
        return double.TryParse(text, Styles, CultureInfo.InvariantCulture, out double number) && double.IsFinite(number)
            ? number
            : throw new InvalidDataException($"The file's {key} is {Printable.Quoted(text)}; it must be a finite number.");
    }
}

/// <summary>What a dimer had when it was saved, beside its direction.</summary>
/// <param name="Curvature">The curvature of each scope; NaN where none was measured.</param>
/// <param name="Conjugation">How much of its search direction each scope takes next; 0 where it begins anew.</param>
/// <param name="HasSearch">Whether the file has the search direction.</param>
/// <param name="Seed">The seed of the first direction.</param>
/// <param name="Step">The steps taken.</param>
/// <param name="GradientEvaluations">The gradients that these steps used.</param>
/// <param name="Activity">What it has seen of the loss; null if it did not wait for spikes.</param>
internal sealed record DimerScalars(
    double[] Curvature,
    double[] Conjugation,
    bool HasSearch,
    ulong Seed,
    long Step,
    long GradientEvaluations,
    DimerActivity? Activity);
