using System.Globalization;
using NativeOpt.Cli.Commands;
using Spectre.Console;

namespace NativeOpt.Cli.Benchmarks;

/// <summary>What <c>nativeopt bench</c> shows to people.</summary>
internal sealed class BenchView(Terminal terminal)
{
    // What the table needs with all columns; the others fit 80.
    private const int WidthOfAll = 116;

    private static readonly (string, Func<BenchResult, string>)[] _noColumns = [];

    private readonly IAnsiConsole _console = terminal.People;

    /// <summary>What it is measured on.</summary>
    public void ShowHeader(IReadOnlyList<(string Name, string Value)> machine, IReadOnlyList<BenchCase> rows)
    {
        Grid grid = new Grid().AddColumn(new GridColumn().NoWrap()).AddColumn();
        foreach ((string name, string value) in machine)
        {
            grid.AddRow(new Markup($"[bold]{Markup.Escape(name)}[/]"), new Text(value));
        }

        BenchCase first = rows[0];
        string where = first.Device.Backend == Backend.Cpu
            ? string.Create(CultureInfo.InvariantCulture, $"cpu, {first.Threads} threads, {NativeRuntime.CpuInstructionSet}")
            : first.Device.ToString();
        grid.AddRow(new Markup("[bold]Device[/]"), new Text(where));
        _console.Write(grid);
    }

    /// <summary>Measures all rows and shows how far it is: a bar in a terminal, a line for each row in a file.</summary>
    /// <param name="rows">The rows.</param>
    /// <param name="measure">Measures one; null: it was ended.</param>
    public IReadOnlyList<BenchResult> Watch(
        IReadOnlyList<BenchCase> rows, Func<BenchCase, Action<double>, BenchResult?> measure)
    {
        if (!terminal.IsInteractive)
        {
            return
            [
                .. rows.Select(row =>
                {
                    BenchResult? result = measure(row, static _ => { });
                    if (result is not null)
                    {
                        _console.WriteLine($"{row.Rule.Name}, {row.Shape.Name}: {BenchFiles.Milliseconds(result.Seconds)} ms");
                    }

                    return result;
                }).TakeWhile(static result => result is not null).Select(static result => result!),
            ];
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
                ProgressTask task = context.AddTask("measuring", maxValue: rows.Count);
                List<BenchResult> results = [];
                foreach (BenchCase row in rows)
                {
                    task.Description = Markup.Escape($"{row.Rule.Name}, {row.Shape.Name}");
                    int done = results.Count;
                    if (measure(row, part => task.Value = done + part) is not { } result)
                    {
                        break;
                    }

                    results.Add(result);
                }

                task.StopTask();
                return results;
            });
    }

    /// <summary>The results, shape by shape.</summary>
    public void ShowResults(IReadOnlyList<BenchResult> results)
    {
        IReadOnlyList<string> peers = BenchFiles.Peers(results);
        bool isWide = _console.Profile.Width >= WidthOfAll;
        (string Heading, Func<BenchResult, string> Cell)[] columns =
        [
            ("step,\nms", static row => BenchFiles.Milliseconds(row.Seconds)),
            ("spread", static row => BenchFiles.Percent(row.Spread, row.Seconds)),
            .. isWide ? [("bytes per\nelement", static row => BenchFiles.BytesPerElement(row))] : _noColumns,
            ("GB/s", static row => BenchFiles.Digits(row.GbPerS)),
            .. isWide ? [("floor,\nGB/s", static row => BenchFiles.Digits(row.FloorGbPerS))] : _noColumns,
            ("of\nfloor", static row => BenchFiles.Ratio(row.FloorRatio)),
            .. peers.Select(peer => (
                isWide ? $"{peer},\nms" : peer,
                (Func<BenchResult, string>)(row => isWide ? BenchFiles.PeerCell(row, peer) : BenchFiles.PeerFactor(row, peer)))),
        ];
        Table table = new Table().Border(TableBorder.Rounded).AddColumn(new TableColumn("rule").NoWrap());
        foreach ((string heading, _) in columns)
        {
            table.AddColumn(new TableColumn(heading).RightAligned().NoWrap());
        }

        foreach (var shape in results.GroupBy(static row => (row.Shape, Types: BenchFiles.Types(row))))
        {
            table.AddRow(new Markup($"[bold]{Markup.Escape(shape.Key.Shape)}[/], {shape.Key.Types}"));
            foreach (BenchResult row in shape)
            {
                table.AddRow([$"  {row.Rule}", .. columns.Select(column => column.Cell(row))]);
            }
        }

        _console.Write(table);
        _console.WriteLine(
            "medians; spread: between the quartiles; of floor: 1.00 is as fast as a loop that only moves the bytes"
            + (peers.Count == 0 ? "" : $"; {string.Join(", ", peers)}: on one thread{(isWide ? "" : ", times as long")}"));
        if (peers.Count > 0 && results.Any(static row => row.Peers.Count == 0))
        {
            _console.WriteLine($"rows without {string.Join(" and ", peers)}: no such step was written by hand");
        }
    }

    /// <summary>Two results files beside each other.</summary>
    public void ShowChanges(IReadOnlyList<BenchChange> changes)
    {
        Table table = new Table().Border(TableBorder.Rounded)
            .AddColumns("rule", "shape", "types", "old, ms", "new, ms", "new/old", "spread", "floor\nnew/old", "verdict");
        foreach (TableColumn column in table.Columns.Skip(3).Take(5))
        {
            column.RightAligned();
        }

        foreach (BenchChange change in changes)
        {
            (BenchResult? old, BenchResult? now) = (change.Old, change.New);
            table.AddRow(
                new Text(change.Row.Rule),
                new Text(change.Row.Shape),
                new Text(BenchFiles.Types(change.Row)),
                new Text(old is null ? "" : BenchFiles.Milliseconds(old.Seconds)),
                new Text(now is null ? "" : BenchFiles.Milliseconds(now.Seconds)),
                new Text(Ratio(now?.Seconds, old?.Seconds)),
                new Text(old is null || now is null ? ""
                    : BenchFiles.Percent(Math.Max(old.Spread, now.Spread), old.Seconds)),
                new Text(Ratio(now?.FloorSeconds, old?.FloorSeconds)),
                new Markup(change.Verdict switch
                {
                    BenchVerdict.Slower => "[red]SLOWER[/]",
                    BenchVerdict.Faster => "[green]faster[/]",
                    BenchVerdict.Same => "within the spread",
                    BenchVerdict.Unsure => "too few rounds",
                    BenchVerdict.OnlyOld => "only in the old file",
                    _ => "only in the new file",
                }));
        }

        _console.Write(table);
        _console.WriteLine(
            "slower and faster: by more than the larger of the two spreads; where the floor changed alike, it was the machine");

        static string Ratio(double? now, double? old) =>
            now is null || old is null ? "" : (now.Value / old.Value).ToString("0.00", CultureInfo.InvariantCulture);
    }

    public void ShowCancelled(int done, int all) =>
        _console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"stopped, on request: {done} of {all} rows"));
}
