using System.Globalization;
using System.Text;
using NativeOpt.Cli.Commands;
using NativeOpt.Cli.Plotting;
using NativeOpt.Cli.Runs;

namespace NativeOpt.Cli.Benchmarks;

/// <summary>What <c>nativeopt bench --out</c> leaves in a folder.</summary>
internal static class BenchFiles
{
    public const string Json = "bench.json";
    public const string Markdown = "bench.md";
    public const string Picture = "bench.svg";
    public const string SizesPicture = "sizes.svg";

    /// <summary>The sizes of one tensor that make a line of <see cref="SizesPicture"/>.</summary>
    public const int FewestSizes = 3;

    /// <summary>The panels that <see cref="SizesPicture"/> has at most.</summary>
    public const int MostPanels = 6;

    /// <summary>All files that there is something for, of results that may not be complete, too.</summary>
    /// <param name="results">The results.</param>
    /// <param name="machine">What they were measured on, and with; <see cref="Machine.Describe"/>.</param>
    /// <param name="command">The command line.</param>
    /// <returns>Their names and texts.</returns>
    public static IEnumerable<(string Name, string Text)> Of(
        IReadOnlyList<BenchResult> results, IReadOnlyList<(string Name, string Value)> machine, string command)
    {
        yield return (Json, Terminal.ToJson(results) + "\n");
        yield return (Markdown, ToMarkdown(results, machine, command));
        yield return (Picture, Chart(results).ToSvg());
        LineChart[] panels = [.. SizesPanels(results)];
        if (panels.Length > 0)
        {
            yield return (SizesPicture, LineChart.Stack(panels));
        }
    }

    /// <summary>Milliseconds with three digits.</summary>
    public static string Milliseconds(double seconds) => Digits(seconds * 1e3);

    /// <summary>Three digits that count, or all that stand before the point.</summary>
    public static string Digits(double value)
    {
        int decimals = value > 0 ? Math.Clamp(2 - (int)Math.Floor(Math.Log10(value)), 0, 9) : 0;
        return value.ToString($"N{decimals}", CultureInfo.InvariantCulture);
    }

    /// <summary>The spread, of the median.</summary>
    public static string Percent(double spread, double median) =>
        (spread / median).ToString("0%", CultureInfo.InvariantCulture);

    /// <summary>The peers that any row has.</summary>
    public static IReadOnlyList<string> Peers(IReadOnlyList<BenchResult> results) =>
        [.. results.SelectMany(static row => row.Peers.Keys).Distinct()];

    private static string ToMarkdown(
        IReadOnlyList<BenchResult> results, IReadOnlyList<(string Name, string Value)> machine, string command)
    {
        IReadOnlyList<string> peers = Peers(results);
        var text = new StringBuilder("# Optimizer steps\n\n");
        foreach ((string name, string value) in machine)
        {
            text.Append(CultureInfo.InvariantCulture, $"- {name}: {value}\n");
        }

        foreach ((string Isa, int? Threads) run in results.Select(static row => (row.Isa, row.Threads)).Distinct())
        {
            text.Append(CultureInfo.InvariantCulture, $"- Kernels: {run.Isa}");
            text.Append(
                run.Threads is int threads ? string.Create(CultureInfo.InvariantCulture, $", threads: {threads}\n") : "\n");
        }

        text.Append(CultureInfo.InvariantCulture, $"- Date: {DateTime.UtcNow:yyyy-MM-dd}\n- Command: `{command}`\n\n");
        text.Append(
            "Median of the rounds, spread: the distance between the quartiles. The floor only moves the same bytes, on as many "
            + "threads; 1.00 of it is the speed of memory. Peers run on one thread; in parentheses, how many times as long they "
            + "take. Rules without peers are timed beside the floor alone.\n");
        foreach (IGrouping<(string, int, long), BenchResult> shape in results.GroupBy(
            static row => (row.Shape, row.Tensors, row.Elements)))
        {
            (string name, int tensors, long elements) = shape.Key;
            text.Append(CultureInfo.InvariantCulture, $"\n## {name}: {tensors:N0} tensors, {elements:N0} elements\n\n");
            text.Append("| rule | types | step, ms | spread | bytes/element | GB/s | floor, GB/s | of floor | rounds |");
            text.AppendJoin("", peers.Select(static peer => $" {peer}, ms |"));
            text.Append("\n| --- | --- |").Insert(text.Length, " ---: |", 7 + peers.Count).Append('\n');
            foreach (BenchResult row in shape)
            {
                string[] cells =
                [
                    row.Rule, Types(row), Milliseconds(row.Seconds), Percent(row.Spread, row.Seconds),
                    BytesPerElement(row), Digits(row.GbPerS),
                    Digits(row.FloorGbPerS), Ratio(row.FloorRatio),
                    row.Rounds.ToString(CultureInfo.InvariantCulture),
                    .. peers.Select(peer => PeerCell(row, peer)),
                ];
                text.Append("| ").AppendJoin(" | ", cells).Append(" |\n");
            }
        }

        return text.ToString();
    }

    public static string BytesPerElement(BenchResult row) =>
        row.BytesPerElement.ToString("0.###", CultureInfo.InvariantCulture);

    public static string Ratio(double ratio) => ratio.ToString("0.00", CultureInfo.InvariantCulture);

    /// <summary>How many times as long as NativeOpt's step a peer's takes.</summary>
    public static string PeerFactor(BenchResult row, string peer) => row.Peers.TryGetValue(peer, out double seconds)
        ? (seconds / row.Seconds).ToString("0.0×", CultureInfo.InvariantCulture)
        : "";

    /// <summary>A peer's time and how many times as long as NativeOpt's it is.</summary>
    public static string PeerCell(BenchResult row, string peer) => row.Peers.TryGetValue(peer, out double seconds)
        ? $"{Milliseconds(seconds)} ({PeerFactor(row, peer)})"
        : "";

    /// <summary>The element types, as far as they are unusual.</summary>
    public static string Types(BenchResult row) => row.Dtype
        + (row.Master == "none" ? "" : $", master {row.Master}")
        + (row.StateDtype == "float32" ? "" : $", states {row.StateDtype}")
        + (row.Rounding == BenchResult.Nearest ? "" : $", rounded at {row.Rounding}");

    private static BarChart Chart(IReadOnlyList<BenchResult> results)
    {
        IReadOnlyList<string> peers = Peers(results);
        var chart = new BarChart(
            "Optimizer steps",
            ["Bytes that the step has to move, over the time it takes. Bars: medians; lines: the spread."],
            "GB/s",
            ["nativeopt", "floor", .. peers]);
        bool hasShapes = results.Select(static row => row.Shape).Distinct().Count() > 1;
        bool hasTypes = results.Select(Types).Distinct().Count() > 1;
        foreach (BenchResult row in results)
        {
            double gigabytes = row.BytesPerElement * row.Elements / 1e9;
            chart.Add(
                row.Rule + (hasShapes ? $", {row.Shape}" : "") + (hasTypes ? $", {Types(row)}" : ""),
                [
                    ToBar(gigabytes, row.Seconds, row.Spread), ToBar(gigabytes, row.FloorSeconds, row.FloorSpread),
                    .. peers.Select(peer => row.Peers.TryGetValue(peer, out double seconds)
                        ? ToBar(gigabytes, seconds, row.PeerSpreads[peer]) : null),
                ]);
        }

        return chart;
    }

    /// <summary>
    /// The time of an element over the sizes of one tensor, a panel for each rule; none of rules with few sizes. Shapes of
    /// more tensors are left out: what a tensor costs would be on the same line as what an element does.
    /// </summary>
    private static IEnumerable<LineChart> SizesPanels(IReadOnlyList<BenchResult> results) => results
        .Where(static row => row.Tensors == 1)
        .GroupBy(static row => (row.Rule, row.Backend, row.Threads, Types: Types(row)))
        .Select(static rows => rows.DistinctBy(static row => row.Elements).OrderBy(static row => row.Elements).ToArray())
        .Where(static rows => rows.Length >= FewestSizes)
        .Take(MostPanels)
        .Select(SizesPanel);

    private static LineChart SizesPanel(BenchResult[] rows)
    {
        BenchResult first = rows[0];
        string where = first.Threads is int threads
            ? string.Create(CultureInfo.InvariantCulture, $"{first.Backend}, threads: {threads}") : first.Backend;
        var chart = new LineChart(
            $"{first.Rule}: {Types(first)}", $"elements of one tensor ({where})", "nanoseconds per element")
        {
            IsXLogarithmic = true,
            IsYLogarithmic = true,
        };
        Add("nativeopt", static row => row.Seconds);
        Add("floor", static row => row.FloorSeconds, dashed: true);
        foreach (string peer in Peers(rows))
        {
            Add(peer, row => row.Peers.GetValueOrDefault(peer, double.NaN));
        }

        return chart;

        void Add(string name, Func<BenchResult, double> seconds, bool dashed = false) => chart.Add(
            name, [.. rows.Select(row => ((double)row.Elements, seconds(row) * 1e9 / row.Elements))], dashed);
    }

    private static Bar? ToBar(double gigabytes, double seconds, double spread) => new(
        gigabytes / seconds, gigabytes / (seconds + (spread / 2)), gigabytes / Math.Max(seconds / 2, seconds - (spread / 2)));
}
