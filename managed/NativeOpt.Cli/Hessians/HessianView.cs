using System.Globalization;
using NativeOpt.Cli.Commands;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace NativeOpt.Cli.Hessians;

/// <summary>What <c>nativeopt hessian</c> shows to people.</summary>
internal sealed class HessianView(Terminal terminal)
{
    private readonly IAnsiConsole _console = terminal.People;

    /// <summary>Runs all solutions and shows how far it is: a bar in a terminal, a line for each solution in a file.</summary>
    /// <param name="names">What the solutions are called.</param>
    /// <param name="work">The work of each.</param>
    /// <param name="run">Computes one, and calls the action as often.</param>
    /// <returns>Those that were done before it was cancelled.</returns>
    public IReadOnlyList<HessianResult> Watch(IReadOnlyList<string> names, int work, Func<int, Action, HessianResult> run)
    {
        List<HessianResult> results = [];
        if (!terminal.IsInteractive)
        {
            RunAll(static _ => { }, static () => { });
            return results;
        }

        _console.Progress().AutoClear(true)
            .Columns(
                new TaskDescriptionColumn(), new ProgressBarColumn { Width = 20 }, new PercentageColumn(), new ElapsedTimeColumn(),
                new RemainingTimeColumn())
            .Start(context =>
            {
                ProgressTask task = context.AddTask("running", maxValue: names.Count * work);
                RunAll(name => task.Description = Markup.Escape(name), () => task.Increment(1));
                task.StopTask();
            });
        return results;

        void RunAll(Action<string> begin, Action afterEach)
        {
            try
            {
                for (int i = 0; i < names.Count; i++)
                {
                    begin(names[i]);
                    results.Add(run(i, afterEach));
                    if (!terminal.IsInteractive)
                    {
                        _console.WriteLine($"{names[i]}: done");
                    }
                }
            }
            catch (OperationCanceledException)
            {
                // What there is, is the result.
            }
        }
    }

    /// <summary>A table of all solutions, and what the numbers are worth.</summary>
    public void ShowResults(HessianPlan plan, IReadOnlyList<HessianResult> results)
    {
        if (results.Count == 0)
        {
            return;
        }

        Table table = new Table().Border(TableBorder.Rounded)
            .AddColumns("solution", "loss", "gradient\nnorm", "largest\neigenvalue", "smallest\neigenvalue", "trace")
            .AddColumns($"loss at\nζ = {Number(plan.Reach)}");
        foreach (TableColumn column in table.Columns.Skip(1))
        {
            column.RightAligned().NoWrap();
        }

        foreach (HessianResult result in results)
        {
            Row(
                result.Name,
                $"{result.Loss:0.0000}",
                Number(result.GradientNorm),
                Number(result.Pairs[^1].Value),
                Number(result.Pairs[0].Value),
                $"{Number(result.Density.Trace)} ± {Number(result.Density.TraceError)}",
                result.Lines.Count == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $"{result.MeanLine.Last():0.0000}"));
        }

        _console.Write(table);
        foreach (HessianResult result in results)
        {
            _console.WriteLine($"{result.Name}: largest {List(result.Largest)}; smallest {List(result.Pairs)}");
            _console.WriteLine(
                $"{result.Name}: exact products against gradient differences: "
                + string.Join(", ", result.Checks.Select(static check => FormattableString.Invariant(
                    $"{check.Difference:0.0e0} for {check.Vector}"))));
        }

        _console.WriteLine(
            $"mean loss of {plan.Windows} windows (seed {plan.Seed}), {results[0].Parameters:N0} parameters; eigenvalues ± the residual "
            + $"after {plan.LanczosSteps} Lanczos steps, rounding included, which bounds the distance to an eigenvalue; trace ± the "
            + $"standard error of {plan.Probes} probes");

        void Row(params string[] cells) => table.AddRow(cells.Select(static cell => (IRenderable)new Text(cell)));

        string List(IEnumerable<RitzPair> pairs) => string.Join(", ", pairs.Take(plan.Eigenvalues).Select(static pair =>
            FormattableString.Invariant($"{Number(pair.Value)} ± {pair.Residual:0e0}")));
    }

    /// <summary>Says that a solution's text is another one than is looked at.</summary>
    public void ShowOtherText(string name) => _console.WriteLine(
        $"{name}: was trained on another text than this one; name that by --text to see the Hessian of what was trained");

    public void ShowCancelled(int done, int all) =>
        _console.WriteLine($"stopped, on request, after {done} of {all} solutions");

    private static string Number(double value) => value.ToString("G4", CultureInfo.InvariantCulture);
}
