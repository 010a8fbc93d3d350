using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>
/// An update rule of the native library, as the library describes it: what it is called, its hyperparameters, its flags, and
/// what it keeps from step to step.
/// </summary>
/// <remarks>
/// The descriptions are read once for the process. <see cref="RuleOptions"/> and <see cref="RuleOptimizer"/> run any rule by
/// its name; most rules have typed classes, too.
/// </remarks>
public sealed class Rule
{
    private static readonly Lazy<IReadOnlyList<Rule>> LazyAll = new(RuleReader.ReadAll);

    internal Rule(
        string name,
        string source,
        string equations,
        IReadOnlyList<Hyperparameter> hyperparameters,
        IReadOnlyList<RuleFlag> flags,
        IReadOnlyList<RuleState> states,
        IReadOnlyList<RuleInput> inputs,
        IReadOnlyList<RunningScalar> runningScalars,
        nopt_step_state initialState,
        uint defaultFlags)
    {
        Name = name;
        Source = source;
        Equations = equations;
        Hyperparameters = hyperparameters;
        Flags = flags;
        States = states;
        Inputs = inputs;
        RunningScalars = runningScalars;
        InitialState = initialState;
        DefaultFlags = [.. flags.Where(flag => (defaultFlags & flag.Bit) != 0)];
    }

    /// <summary>All rules that the native library has, in the library's order.</summary>
    /// <exception cref="DllNotFoundException">The native library cannot be found.</exception>
    /// <exception cref="BadImageFormatException">The native library does not fit this assembly.</exception>
    public static IReadOnlyList<Rule> All => LazyAll.Value;

    /// <summary>The name, for example "adam".</summary>
    public string Name { get; }

    /// <summary>The paper, and the equation or algorithm in it.</summary>
    public string Source { get; }

    /// <summary>The update in one line, with t counted from 1.</summary>
    public string Equations { get; }

    /// <summary>
    /// The hyperparameters, in the rule's order. The learning rate ("lr") is the first and the weight decay ("weight_decay")
    /// the second in every rule.
    /// </summary>
    public IReadOnlyList<Hyperparameter> Hyperparameters { get; }

    /// <summary>The flags that the rule knows: those that several rules have, such as "maximize", and its own.</summary>
    public IReadOnlyList<RuleFlag> Flags { get; }

    /// <summary>The flags among <see cref="Flags"/> that are set by default.</summary>
    public IReadOnlyList<RuleFlag> DefaultFlags { get; }

    /// <summary>The states, those that only some options need included.</summary>
    public IReadOnlyList<RuleState> States { get; }

    /// <summary>The inputs that the host may give beside the gradient.</summary>
    public IReadOnlyList<RuleInput> Inputs { get; }

    /// <summary>The numbers that each step takes on.</summary>
    public IReadOnlyList<RunningScalar> RunningScalars { get; }

    /// <summary>The step count and the running scalars before the first step.</summary>
    internal nopt_step_state InitialState { get; }

    /// <summary>Finds a rule by its name.</summary>
    /// <param name="name">The name, for example "adam".</param>
    /// <returns>The rule.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="name"/> is null.</exception>
    /// <exception cref="ArgumentException">The library has no such rule; the message lists those that it has.</exception>
    public static Rule Get(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return All.FirstOrDefault(rule => rule.Name == name)
            ?? throw new ArgumentException(
                $"There is no rule \"{name}\"; the native library has {Names(All.Select(static rule => rule.Name))}.",
                nameof(name));
    }

    /// <summary>Finds a hyperparameter by its name.</summary>
    /// <param name="name">The name, for example "beta1".</param>
    /// <returns>The hyperparameter.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="name"/> is null.</exception>
    /// <exception cref="ArgumentException">The rule has no such hyperparameter; the message lists those that it has.</exception>
    public Hyperparameter GetHyperparameter(string name) => GetHyperparameter(name, nameof(name));

    internal Hyperparameter GetHyperparameter(string name, string paramName)
    {
        ArgumentNullException.ThrowIfNull(name, paramName);

        // Without LINQ: a group's indexer comes by here between steps, which allocate nothing.
        for (int i = 0; i < Hyperparameters.Count; i++)
        {
            if (Hyperparameters[i].Name == name)
            {
                return Hyperparameters[i];
            }
        }

        throw Missing("hyperparameter", name, Hyperparameters.Select(static own => own.Name), paramName);
    }

    /// <summary>Finds a flag by its name.</summary>
    /// <param name="name">The name, for example "maximize".</param>
    /// <returns>The flag.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="name"/> is null.</exception>
    /// <exception cref="ArgumentException">The rule has no such flag; the message lists those that it has.</exception>
    public RuleFlag GetFlag(string name) => GetFlag(name, nameof(name));

    internal RuleFlag GetFlag(string name, string paramName)
    {
        ArgumentNullException.ThrowIfNull(name, paramName);
        return FindFlag(name) ?? throw Missing("flag", name, Flags.Select(static own => own.Name), paramName);
    }

    /// <summary>Finds an input by its name.</summary>
    /// <param name="name">The name, for example "hessian".</param>
    /// <returns>The input.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="name"/> is null.</exception>
    /// <exception cref="ArgumentException">The rule has no such input; the message lists those that it has.</exception>
    public RuleInput GetInput(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        for (int i = 0; i < Inputs.Count; i++)
        {
            if (Inputs[i].Name == name)
            {
                return Inputs[i];
            }
        }

        throw Missing("input", name, Inputs.Select(static own => own.Name), nameof(name));
    }

    /// <summary>Finds a running scalar by its name.</summary>
    /// <param name="name">The name, for example "beta1_product".</param>
    /// <returns>The running scalar.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="name"/> is null.</exception>
    /// <exception cref="ArgumentException">The rule has no such running scalar; the message lists those that it has.</exception>
    public RunningScalar GetRunningScalar(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return FindRunningScalar(name)
            ?? throw Missing("running scalar", name, RunningScalars.Select(static own => own.Name), nameof(name));
    }

    /// <summary>The rule's name.</summary>
    /// <returns><see cref="Name"/>.</returns>
    public override string ToString() => Name;

    internal RunningScalar? FindRunningScalar(string name) => RunningScalars.FirstOrDefault(own => own.Name == name);

    // Without LINQ: what a host does between steps allocates nothing.
    internal RuleFlag? FindFlag(string name)
    {
        for (int i = 0; i < Flags.Count; i++)
        {
            if (Flags[i].Name == name)
            {
                return Flags[i];
            }
        }

        return null;
    }

    internal RuleState? FindState(StateRole role)
    {
        for (int i = 0; i < States.Count; i++)
        {
            if (States[i].Name == role.Name)
            {
                return States[i];
            }
        }

        return null;
    }

    /// <summary>Whether options lead to a state.</summary>
    internal bool HasState(RuleState state, in nopt_hyperparams options) =>
        (state.NeededFlag is null || (options.flags & GetFlag(state.NeededFlag).Bit) != 0)
        && (state.NeededHyperparameter is null
            || options.values[GetHyperparameter(state.NeededHyperparameter).Index] > state.NeededAbove);

    /// <summary>The step state after so many steps with the same hyperparameters, as an optimizer would have counted them.</summary>
    /// <param name="hyperparameters">What the steps took.</param>
    /// <param name="steps">How many there were, 0 or more.</param>
    /// <param name="cancellation">Ends the computation early.</param>
    internal nopt_step_state StateAfter(
        in nopt_hyperparams hyperparameters, long steps, CancellationToken cancellation = default)
    {
        // Each call ends soon, so that cancellation is noticed.
        const long StepsOfOneCall = 1 << 24;
        nopt_step_state state = InitialState;
        nopt_hyperparams options = hyperparameters;
        while (state.step < steps)
        {
            cancellation.ThrowIfCancellationRequested();
            ReadOnlySpan<double> before = [.. (ReadOnlySpan<double>)state.running];
            RuleReader.Advance(Name, options, Math.Min(StepsOfOneCall, steps - state.step), ref state);
            if (before.SequenceEqual(state.running))
            {
                // Running scalars that stay as they are cost the library no time.
                RuleReader.Advance(Name, options, steps - state.step, ref state);
            }
        }

        return state;
    }

    /// <summary>Says why a tensor or a group cannot have come so far; null if it can.</summary>
    internal string? WhyImpossible(nopt_step_state state)
    {
        nopt_hyperparams defaults = new HyperparameterValues(this, "", "").Native;
        try
        {
            RuleReader.Advance(Name, defaults, 0, ref state);
            return null;
        }
        catch (ArgumentException exception)
        {
            return exception.Message;
        }
    }

    /// <summary>Whether the step counts and the running scalars are the same.</summary>
    internal static bool AreSame(in nopt_step_state one, in nopt_step_state other) =>
        one.step == other.step && ((ReadOnlySpan<double>)one.running).SequenceEqual(other.running);

    internal static string Names(IEnumerable<string> names) => string.Join(", ", names);

    private ArgumentException Missing(string kind, string name, IEnumerable<string> known, string paramName)
    {
        string[] names = [.. known];
        return new ArgumentException(
            $"The rule \"{Name}\" has no {kind} \"{name}\"; it has {(names.Length == 0 ? "none" : Names(names))}.", paramName);
    }
}
