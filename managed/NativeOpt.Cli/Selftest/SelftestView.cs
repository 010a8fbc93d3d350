using System.Globalization;
using NativeOpt.Cli.Commands;
using Spectre.Console;

namespace NativeOpt.Cli.Selftest;

/// <summary>What <c>nativeopt selftest</c> shows to people.</summary>
internal sealed class SelftestView(Terminal terminal)
{
    // A kernel that is wrong is wrong in many cases; the JSON document has all of them.
    private const int CasesExplained = 5;

    private readonly IAnsiConsole _console = terminal.People;

    /// <summary>What is about to be compared.</summary>
    public void ShowHeader(SelftestPlan plan)
    {
        DeviceInfo device = plan.Settings[^1].Device.GetInfo();
        Grid grid = new Grid().AddColumn(new GridColumn().NoWrap()).AddColumn();
        Row("device", device.ComputeCapability is null
            ? $"{device.Device}"
            : $"{device.Device}, {device.Name}, compute capability {device.ComputeCapability}");
        Row("tested", string.Join("; ", plan.Settings.Skip(1).Select(static setting => setting.Name)));
        Row("compared with", $"cpu: {plan.Settings[0].Name}");
        Row("cases", $"{plan.Cases.Count:N0}");
        _console.Write(grid);

        void Row(string name, string value) => grid.AddRow(new Markup($"[bold]{name}[/]"), new Text(value));
    }

    /// <summary>Runs the plan and shows how far it is: a bar in a terminal, a line for each rule in a file.</summary>
    public SelftestOutcome Watch(SelftestPlan plan, Func<Action<SelftestResult>, SelftestOutcome> run)
    {
        if (!terminal.IsInteractive)
        {
            Dictionary<string, int> left =
                plan.Cases.CountBy(static one => one.Options.Rule.Name).ToDictionary();
            return run(result =>
            {
                string rule = result.Case.Options.Rule.Name;
                if (--left[rule] == 0)
                {
                    _console.WriteLine($"{rule}: done");
                }
            });
        }

        return _console.Progress().AutoClear(true)
            .Columns(
                new TaskDescriptionColumn(),
                new ProgressBarColumn { Width = 20 },
                new PercentageColumn(),
                new ElapsedTimeColumn(),
                new RemainingTimeColumn())
            .Start(context =>
            {
                ProgressTask task = context.AddTask("running", maxValue: plan.Cases.Count);
                int failed = 0;
                SelftestOutcome outcome = run(result =>
                {
                    failed += result.Passed ? 0 : 1;
                    task.Description = result.Case.Options.Rule.Name + (failed > 0 ? $" [red]{failed} failed[/]" : "");
                    task.Increment(1);
                });
                task.StopTask();
                return outcome;
            });
    }

    /// <summary>What all cases came to.</summary>
    public void ShowOutcome(SelftestPlan plan, SelftestOutcome outcome)
    {
        // Two lines for each heading, and no column for the rule: the table fits 80 columns.
        Table table = new Table().Border(TableBorder.Rounded)
            .AddColumns("options", "shapes", "steps", "millions\ncompared", "different\nelements", "canaries\nhit", "result");
        foreach (TableColumn column in table.Columns.Skip(1).Take(5))
        {
            column.RightAligned();
        }

        foreach (IGrouping<string, SelftestResult> rule in outcome.Results.GroupBy(
            static result => result.Case.Options.Rule.Name))
        {
            table.AddRow(new Markup($"[bold]{rule.Key}[/]"));
            foreach (IGrouping<string, SelftestResult> group in rule.GroupBy(static result => result.Case.Group))
            {
                bool passed = group.All(static result => result.Passed);
                table.AddRow(
                    new Text(group.Key),
                    Number(group.Select(static result => string.Join(',', result.Case.Counts)).Distinct().Count()),
                    Number(group.Sum(static result => result.Case.Steps)),
                    Number(group.Sum(static result => result.Comparison.Compared) / 1e6, "N1"),
                    Number(group.Sum(static result => result.Comparison.Different)),
                    Number(group.Sum(static result => result.Comparison.DamagedCanaries)),
                    new Markup(passed ? "[green]passed[/]" : "[red]FAILED[/]"));
            }
        }

        _console.Write(table);
        SelftestResult[] failures = [.. outcome.Results.Where(static result => !result.Passed)];
        foreach (SelftestResult result in failures.Take(CasesExplained))
        {
            _console.WriteLine($"FAILED: {result.Case}");
            _console.WriteLine($"  {Sizes(result.Case.Counts)}");
            foreach (Difference difference in result.Comparison.Differences)
            {
                _console.WriteLine($"  {difference}");
            }
        }

        if (failures.Length > CasesExplained)
        {
            _console.WriteLine($"and {failures.Length - CasesExplained:N0} more failed cases; --json names all of them");
        }

        int left = plan.Cases.Count - outcome.Results.Count;
        _console.WriteLine(
            $"{outcome.Passed:N0} cases passed, {outcome.Failed:N0} failed"
            + (left > 0 ? $", {left:N0} not run{(outcome.IsCancelled ? ": stopped, on request" : "")}" : ""));

        static Text Number(double value, string format = "N0") => new(value.ToString(format, CultureInfo.InvariantCulture));
    }

    private static string Sizes(int[] counts)
    {
        const int Shown = 20;
        return $"{counts.Length:N0} tensors of {string.Join(", ", counts.Take(Shown))}{(counts.Length > Shown ? ", …" : "")} "
            + "elements";
    }
}
