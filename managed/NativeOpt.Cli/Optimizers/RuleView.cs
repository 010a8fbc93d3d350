using System.Globalization;
using NativeOpt.Cli.Commands;
using Spectre.Console;

namespace NativeOpt.Cli.Optimizers;

/// <summary>What <c>nativeopt info --rules</c> shows: what the library says of its rules.</summary>
internal sealed class RuleView(Terminal terminal)
{
    /// <summary>Describes rules, for people or as JSON.</summary>
    public void Show(IReadOnlyList<Rule> rules)
    {
        if (terminal.IsJson)
        {
            terminal.WriteJson(rules.Select(Summary).ToArray());
            return;
        }

        foreach (Rule rule in rules)
        {
            Show(rule);
        }
    }

    private void Show(Rule rule)
    {
        IAnsiConsole console = terminal.People;
        console.Write(new Rows(
            new Markup($"[bold]{Markup.Escape(rule.Name)}[/]"), new Text(rule.Equations), new Text($"Source: {rule.Source}")));
        Table("hyperparameter", rule.Hyperparameters, static own =>
            [own.Name, $"{Number(own.Default)}; {own.Range}", own.Meaning + Selects(own.SelectsStates)]);
        Table("flag", rule.Flags, own =>
        [
            own.Name,
            (rule.DefaultFlags.Contains(own) ? "on" : "off")
                + (own.NeededHyperparameter is { } needed ? $"; needs {needed} above 0" : ""),
            own.Meaning + Selects(own.SelectsStates),
        ]);
        Table("state", rule.States, static own =>
        [
            own.Name,
            $"{Initial(own)}; {string.Join(", ", own.DTypes.Select(CommonOptions.Name))}",
            own.Meaning + (Needs(own) is { } needed ? $" Only with {needed}." : ""),
        ]);
        Table("input", rule.Inputs, static own => [own.Name, "optional", own.Meaning]);
        Table("running scalar", rule.RunningScalars, static own => [own.Name, Number(own.InitialValue), own.Meaning]);
        console.WriteLine();

        void Table<T>(string kind, IReadOnlyList<T> all, Func<T, string[]> cells)
        {
            if (all.Count == 0)
            {
                return;
            }

            Table table = new Table().Border(TableBorder.Rounded)
                .AddColumn(new TableColumn(kind).NoWrap()).AddColumns(Heading(kind), "meaning");
            foreach (T one in all)
            {
                table.AddRow([.. cells(one).Select(static cell => new Text(cell))]);
            }

            console.Write(table);
        }
    }

    private static string Heading(string kind) => kind switch
    {
        "hyperparameter" => "default; range",
        "flag" => "default",
        "state" => "at first; types",
        "running scalar" => "at first",
        _ => "in a step",
    };

    private static string Selects(bool selectsStates) => selectsStates ? " Selects states." : "";

    private static string Initial(RuleState state) => state.InitialHyperparameter ?? Number(state.InitialValue);

    private static string? Needs(RuleState state) => (state.NeededFlag, state.NeededHyperparameter) switch
    {
        (null, null) => null,
        ({ } flag, null) => flag,
        (null, { } name) => $"{name} above {Number(state.NeededAbove)}",
        ({ } flag, { } name) => $"{flag} and {name} above {Number(state.NeededAbove)}",
    };

    private static string Number(double value) => value.ToString(CultureInfo.InvariantCulture);

    private static RuleSummary Summary(Rule rule) => new(
        rule.Name,
        rule.Source,
        rule.Equations,
        [
            .. rule.Hyperparameters.Select(static own => new HyperparameterSummary(
                own.Name, own.Meaning, own.Default, own.Minimum, own.Maximum >= float.MaxValue ? null : own.Maximum,
                own.MaximumIsExcluded, own.IsInteger, own.SelectsStates)),
        ],
        [
            .. rule.Flags.Select(own => new FlagSummary(
                own.Name, own.Meaning, rule.DefaultFlags.Contains(own), own.NeededHyperparameter, own.SelectsStates)),
        ],
        [
            .. rule.States.Select(static own => new StateSummary(
                own.Name, own.Meaning, own.IsSigned, [.. own.DTypes.Select(CommonOptions.Name)], own.InitialValue,
                own.InitialHyperparameter, own.NeededFlag, own.NeededHyperparameter,
                own.NeededHyperparameter is null ? null : own.NeededAbove)),
        ],
        [.. rule.Inputs.Select(static own => new InputSummary(own.Name, own.Meaning))],
        [.. rule.RunningScalars.Select(static own => new RunningSummary(own.Name, own.Meaning, own.InitialValue))]);

    // The members of the JSON document.
    private sealed record RuleSummary(
        string Name,
        string Source,
        string Equations,
        HyperparameterSummary[] Hyperparameters,
        FlagSummary[] Flags,
        StateSummary[] States,
        InputSummary[] Inputs,
        RunningSummary[] RunningScalars);

    // A maximum of null: any number that is finite as a float.
    private sealed record HyperparameterSummary(
        string Name,
        string Meaning,
        double Default,
        double Minimum,
        double? Maximum,
        bool MaximumIsExcluded,
        bool IsInteger,
        bool SelectsStates);

    private sealed record FlagSummary(
        string Name, string Meaning, bool Default, string? NeededHyperparameter, bool SelectsStates);

    private sealed record StateSummary(
        string Name,
        string Meaning,
        bool IsSigned,
        string[] Dtypes,
        double InitialValue,
        string? InitialHyperparameter,
        string? NeededFlag,
        string? NeededHyperparameter,
        double? NeededAbove);

    private sealed record InputSummary(string Name, string Meaning);

    private sealed record RunningSummary(string Name, string Meaning, double InitialValue);
}
