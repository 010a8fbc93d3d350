using NativeOpt.Cli.Training;
using NativeOpt.Interop;

namespace NativeOpt.Cli.Selftest;

/// <summary>Makes the model of a case in a setting. Tests put faults into it.</summary>
internal delegate SelftestModel SelftestModelFactory(SelftestSetting setting, SelftestCase one, SelftestBuffers buffers);

/// <summary>What <c>nativeopt selftest</c> is to do.</summary>
internal sealed class SelftestPlan
{
    private const int FullSteps = 5;
    private const int QuickSteps = 3;

    // Numbers of cases leave room for more in an earlier rule, so that a rule's shapes stay.
    private const int NumbersPerRule = 100_000;

    private static readonly SelftestArrangement[] Nothing = [];

    private readonly ulong _seed;
    private readonly bool _isQuick;

    /// <param name="device">What is tested.</param>
    /// <param name="rules">The rules.</param>
    /// <param name="shapes">The shapes.</param>
    /// <param name="seed">Selects numbers and random shapes.</param>
    /// <param name="isQuick">Whether fewer and smaller cases do.</param>
    /// <param name="createModel">Makes the models; null: as they are.</param>
    public SelftestPlan(
        Device device,
        IReadOnlyList<string> rules,
        IReadOnlyList<SelftestShape> shapes,
        ulong seed = 1,
        bool isQuick = false,
        SelftestModelFactory? createModel = null)
    {
        (_seed, _isQuick) = (seed, isQuick);
        CreateModel = createModel ?? (static (setting, one, buffers) => new SelftestModel(setting, one, buffers));
        Settings = [SelftestSetting.ReferenceFor(device), .. SelftestSetting.TestedOn(device)];
        Cases =
        [
            .. SelftestRule.All().GroupBy(static options => options.Rule)
                .SelectMany((group, rule) => CasesOf([.. group], rule))
                .Where(one => rules.Contains(one.Options.Rule.Name) && shapes.Contains(one.Arrangement.Shape)),
        ];
    }

    /// <summary>Where each case runs; the first is what the others are compared with.</summary>
    public IReadOnlyList<SelftestSetting> Settings { get; }

    /// <summary>In the order in which they run: rule by rule.</summary>
    public IReadOnlyList<SelftestCase> Cases { get; }

    /// <summary>Makes the models.</summary>
    public SelftestModelFactory CreateModel { get; }

    /// <summary>The numbers of a case.</summary>
    public DeterministicRandom RandomOf(int number) => new(_seed, (ulong)number);

    /// <summary>Runs the cases until one meets a fault or it is stopped. The CPU is left as it was.</summary>
    /// <param name="afterEach">Called with each result.</param>
    /// <param name="stop">Ends it.</param>
    public SelftestOutcome Run(Action<SelftestResult> afterEach, CancellationToken stop)
    {
        SelftestSetting before = SelftestSetting.CurrentCpu;
        List<SelftestResult> results = [];
        try
        {
            foreach (SelftestCase one in Cases)
            {
                SelftestResult result = SelftestRun.Run(this, one, stop);
                results.Add(result);
                afterEach(result);
            }

            return new SelftestOutcome(results, null, false);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return new SelftestOutcome(results, null, true);
        }
        catch (Exception error) when (error is SelftestFault or NativeOptException or OutOfMemoryException)
        {
            return new SelftestOutcome(results, $"{Cases[results.Count]}: {error.Message}", false);
        }
        finally
        {
            before.Select();
        }
    }

    private List<SelftestCase> CasesOf(SelftestRule[] all, int rule)
    {
        List<SelftestCase> cases = [];
        int last = all.Length - 1;
        for (int i = 0; i < all.Length; i++)
        {
            bool hasLarge = i == 0 || i == last;
            Add(all[i], null, _isQuick ? InTurn(rule + i) : Everything(hasLarge));
        }

        // Each dimer with all options together, which have all of the rule's states, and with some of the others in turn.
        for (int i = 0; i < DimerSetting.All.Count; i++)
        {
            DimerSetting dimer = DimerSetting.All[i];
            bool hasLarge = !_isQuick && dimer.Scope == nopt_dimer_scope.NOPT_DIMER_SCOPE_GLOBAL
                && dimer.Correction == nopt_dimer_correction.NOPT_DIMER_CORRECTION_ESCAPE;
            Add(all[last], dimer, [.. InTurn(rule + i), .. hasLarge ? [SelftestArrangement.Large] : Nothing]);
            Add(all[5 * i % Math.Max(last, 1)], dimer, InTurn(rule + i + 1));
        }

        // Numbers of fewer bits, and dimers over them.
        for (int i = 0; i < SelftestStorage.Others.Count; i++)
        {
            SelftestStorage storage = SelftestStorage.Others[i];
            if (!storage.IsFor(all[last].Rule))
            {
                continue;
            }

            Add(all[last], null, _isQuick ? InTurn(rule + i) : Everything(hasLarge: true), storage);
            DimerSetting dimer = DimerSetting.All[(rule + i) % DimerSetting.All.Count];
            Add(all[last], dimer, InTurn(rule + i + 1).Take(_isQuick ? 1 : 2), storage);
        }

        // Options of the gradients, which dimers do not know. Skipping needs something to skip for.
        for (int i = 0; i < SelftestGradients.All.Count; i++)
        {
            SelftestGradients gradients = SelftestGradients.All[i];
            IEnumerable<SelftestArrangement> arrangements = _isQuick
                ? [.. InTurn(rule + i), SelftestArrangement.Awkward[^1]] : Everything(hasLarge: true);
            Add(all[last], null, arrangements.Distinct(), SelftestStorage.Float32, gradients);
            Add(all[3 * i % all.Length], null, [SelftestArrangement.Awkward[^1]], SelftestStorage.Others[^1], gradients);
        }

        return cases;

        void Add(
            SelftestRule options,
            DimerSetting? dimer,
            IEnumerable<SelftestArrangement> arrangements,
            SelftestStorage? storage = null,
            SelftestGradients? gradients = null)
        {
            foreach (SelftestArrangement arrangement in arrangements)
            {
                int number = (rule * NumbersPerRule) + cases.Count;
                cases.Add(new SelftestCase
                {
                    Number = number,
                    Options = options,
                    Dimer = dimer,
                    Storage = storage ?? SelftestStorage.Float32,
                    Gradients = gradients,
                    Arrangement = arrangement,
                    Counts = arrangement.Shape.Counts(_isQuick, RandomOf(number)),
                    Steps = _isQuick || arrangement == SelftestArrangement.Large ? QuickSteps : FullSteps,
                });
            }
        }
    }

    private static IEnumerable<SelftestArrangement> Everything(bool hasLarge) =>
        [.. SelftestArrangement.Awkward, .. SelftestArrangement.Others, .. hasLarge ? [SelftestArrangement.Large] : Nothing];

    // An awkward one and another one.
    private IEnumerable<SelftestArrangement> InTurn(int turn)
    {
        IReadOnlyList<SelftestArrangement> awkward = SelftestArrangement.Awkward;
        SelftestArrangement[] others = [.. SelftestArrangement.Others, .. _isQuick ? [SelftestArrangement.Large] : Nothing];
        return [awkward[turn % awkward.Count], others[turn % others.Length]];
    }
}

/// <summary>What all cases came to.</summary>
/// <param name="Results">Of each case that ran.</param>
/// <param name="Fault">What ended it before its time; null if nothing did.</param>
/// <param name="IsCancelled">Whether it was stopped on request.</param>
internal sealed record SelftestOutcome(IReadOnlyList<SelftestResult> Results, string? Fault, bool IsCancelled)
{
    public int Passed => Results.Count(static result => result.Passed);

    public int Failed => Results.Count - Passed;
}
