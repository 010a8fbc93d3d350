using System.Globalization;
using NativeOpt.Cli.Commands;
using NativeOpt.Cli.Statistics;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace NativeOpt.Cli.Landscapes.Escapes;

/// <summary>What <c>nativeopt landscape escape</c> shows to people.</summary>
internal sealed class EscapeView(Terminal terminal)
{
    private const int Lines = 5; // of progress, in a file

    private readonly IAnsiConsole _console = terminal.People;

    /// <summary>Runs something and shows how far it is: a bar in a terminal, a line now and then in a file.</summary>
    /// <param name="count">How often the action is called.</param>
    /// <param name="run">What runs.</param>
    public T Watch<T>(int count, Func<Action, T> run)
    {
        if (!terminal.IsInteractive)
        {
            int done = 0;
            int every = Math.Max(1, count / Lines);
            return run(() =>
            {
                if (Interlocked.Increment(ref done) is int own && own % every == 0)
                {
                    lock (_console)
                    {
                        _console.WriteLine($"{own} of {count} wells: done");
                    }
                }
            });
        }

        return _console.Progress().AutoClear(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn { Width = 20 }, new PercentageColumn(), new ElapsedTimeColumn())
            .Start(context =>
            {
                ProgressTask task = context.AddTask("wells", maxValue: count);
                T result = run(() => task.Increment(1));
                task.StopTask();
                return result;
            });
    }

    /// <summary>The mean times, and what they say of the law.</summary>
    public void ShowResults(EscapePlan plan, IReadOnlyList<EscapeMeasurement> wells, IReadOnlyList<EscapeLaw> laws)
    {
        Table table = new Table().Border(TableBorder.Rounded).AddColumns("optimizer", "learning\nrate", "curvature\nH");
        foreach (double barrier in EscapePlan.Barriers)
        {
            table.AddColumn(FormattableString.Invariant($"steps over\na barrier of {barrier}"));
        }

        foreach (TableColumn column in table.Columns.Skip(1))
        {
            column.RightAligned().NoWrap();
        }

        foreach (EscapeMeasurement[] row in wells.Chunk(EscapePlan.Barriers.Count))
        {
            table.AddRow(
            [
                new Text(row[0].Cell.Rule.Name),
                Number(row[0].Cell.LearningRate, "G3"),
                Number(row[0].Cell.Curvature, "0.000"),
                .. row.Select(static well => new Text(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{well.MeanTime.Value:#,0} [{well.MeanTime.Low:#,0}, {well.MeanTime.High:#,0}]"))),
            ]);
        }

        _console.Write(table);
        foreach (EscapeLaw law in laws)
        {
            double predicted = law.Rule.Power(!plan.HasFixedNoise);
            string verdict = law.Power.Contains(predicted) ? "holds here" : "does not hold here";
            _console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{law.Rule.Name}: log τ ∝ H^p with p = {predicted} {verdict}: measured p = {Interval(law.Power)}; log log τ itself, with "
                + $"the factor before the exponential, has the slope {Interval(law.PlainSlope)}"));
        }

        _console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{plan.Starts} starts a well (seed {plan.Seed}), noise of the variance {(plan.HasFixedNoise ? "1" : "H")}/{plan.BatchSize}")
            + "; 95 % intervals by bootstrap; p is the slope of log(∂log τ/∂ΔL) against log H");

        static string Interval(Estimate own) =>
            string.Create(CultureInfo.InvariantCulture, $"{own.Value:0.00} [{own.Low:0.00}, {own.High:0.00}]");

        static IRenderable Number(double value, string format) => new Text(value.ToString(format, CultureInfo.InvariantCulture));
    }

    public void ShowCancelled() => _console.WriteLine("stopped, on request, before all wells were done: there is no result");
}
