using System.Text.Json;
using NativeOpt.Cli.Optimizers;

namespace NativeOpt.Cli.Replay;

/// <summary>
/// Reads what a trace says of its optimizer. Options are the hyperparameters and flags that the library describes, some of
/// them by the names that PyTorch or a paper gave them; docs/trace-format.md lists these.
/// </summary>
internal static class TraceOptions
{
    private const string Rule = "rule";
    private const string Betas = "betas";
    private const string Beta = "beta";
    private const string Schedule = "schedule";

    // By the number that dualadam's hyperparameter has.
    private static readonly string[] Schedules = ["linear", "exponential", "fixed", "given"];

    private static readonly (string Described, string InTraces)[] Renamed =
    [
        (OptimizerPresets.SwitchingRate, "xi"),
        ("inverse_epsilon", "inverse_eps"),
        (OptimizerPresets.DecoupledWeightDecay, "decoupled"),
    ];

    // A number of one rule alone, which others' traces have, too: no value of it changes another rule.
    private static readonly string[] Harmless = ["xi"];

    /// <summary>Reads the optimizer of a rule that the library has.</summary>
    /// <exception cref="TraceFormatException">An option is unknown to all rules, or of the wrong kind.</exception>
    public static TraceOptimizer Read(JsonNode node, OptimizerPreset preset)
    {
        node.Object([.. Known()]);
        node.Member(OptimizerPresets.LearningRate);
        var reader = new Reader(preset);
        foreach (JsonProperty member in node.Element.EnumerateObject().Where(static member => member.Name != Rule))
        {
            reader.Add(member.Name, node.Member(member.Name));
        }

        return new TraceOptimizer(reader.Preset) { Unsupported = reader.Unsupported };
    }

    // The options of all rules are known: one of another rule makes the trace unsupported, and not broken.
    private static IEnumerable<string> Known() =>
    [
        Rule, .. NativeOpt.Rule.All.SelectMany(static rule => rule.Hyperparameters).Select(static own => InTraces(own.Name)).Distinct(),
        .. AllFlags().Select(InTraces),
    ];

    // Traces are of float32, of which none is rounded at random.
    private static IEnumerable<string> AllFlags() => NativeOpt.Rule.All.SelectMany(static rule => rule.Flags)
        .Select(static own => own.Name)
        .Where(static name => !name.StartsWith(OptimizerPresets.StochasticRounding, StringComparison.Ordinal)).Distinct();

    private static string InTraces(string described) =>
        IsBeta(described) ? Betas : Renamed.FirstOrDefault(pair => pair.Described == described).InTraces ?? described;

    private static bool IsBeta(string described) =>
        described.StartsWith(Beta, StringComparison.Ordinal) && described[Beta.Length..].All(char.IsAsciiDigit);

    private sealed class Reader(OptimizerPreset preset)
    {
        /// <summary>The preset with the trace's options.</summary>
        public OptimizerPreset Preset { get; private set; } = preset;

        /// <summary>The first option that the rule cannot do.</summary>
        public string? Unsupported { get; private set; }

        public void Add(string name, JsonNode value)
        {
            Hyperparameter[] own = [.. Preset.Rule.Hyperparameters.Where(own => InTraces(own.Name) == name)];
            if (name == Betas)
            {
                JsonNode[] items = own.Length > 0 ? value.Items(own.Length, "are needed") : value.Items();
                Refuse(name, own.Length == 0);
                foreach ((Hyperparameter beta, JsonNode item) in own.OrderBy(static beta => beta.Name).Zip(items))
                {
                    Preset = Preset.With(beta.Name, item.Number(beta.Minimum));
                }
            }
            else if (name == Schedule)
            {
                int schedule = Array.IndexOf(Schedules, value.OneOf(Schedules));
                Refuse($"{name}: {Schedules[schedule]}", own.Length == 0 && schedule != 0);
                Preset = own.Length == 0 ? Preset : Preset.With(Schedule, schedule);
            }
            else if (own is [var hyperparameter])
            {
                Preset = Preset.With(hyperparameter.Name, value.Number(hyperparameter.Minimum));
            }
            else if (AllFlags().FirstOrDefault(flag => InTraces(flag) == name) is { } flag)
            {
                AddFlag(name, flag, value.Boolean());
            }
            else
            {
                // A 0 says nothing.
                Refuse(name, value.Number() != 0 && !Harmless.Contains(name));
            }
        }

        private void AddFlag(string name, string flag, bool isSet)
        {
            if (Preset.Rule.Flags.Any(own => own.Name == flag))
            {
                Refuse($"{name}: false", !isSet && Preset.FixedFlags.Contains(flag));
                Preset = Preset.WithFlag(flag, isSet);
            }
            else
            {
                Refuse(name, isSet);
            }
        }

        private void Refuse(string option, bool isRefused)
        {
            if (isRefused)
            {
                Unsupported ??= option;
            }
        }
    }
}
