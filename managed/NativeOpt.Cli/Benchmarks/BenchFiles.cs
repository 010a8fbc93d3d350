using System.Globalization;
using System.Text;
using NativeOpt.Cli.Commands;
using NativeOpt.Cli.Plotting;

namespace NativeOpt.Cli.Benchmarks;

/// <summary>What <c>nativeopt bench --out</c> leaves in a folder.</summary>
internal static class BenchFiles
{
    public const string Json = "bench.json";
    public const string Markdown = "bench.md";
    public const string Picture = "bench.svg";

    /// <summary>Writes all files, of results that may not be complete, too.</summary>
    /// <param name="folder">Where.</param>
    /// <param name="results">The results.</param>
    /// <param name="machine">What they were measured on, and with; <see cref="Machine.Describe"/>.</param>
    /// <param name="command">The command line.</param>
    public static void Write(
        string folder, IReadOnlyList<BenchResult> results, IReadOnlyList<(string Name, string Value)> machine, string command)
    {
        File.WriteAllText(Path.Combine(folder, Json), Terminal.ToJson(results) + "\n");
        File.WriteAllText(Path.Combine(folder, Markdown), ToMarkdown(results, machine, command));
        Chart(results).Save(Path.Combine(folder, Picture));
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
            + "take.\n");
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
        + (row.StateDtype == "float32" ? "" : $", states {row.StateDtype}");

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

    private static Bar? ToBar(double gigabytes, double seconds, double spread) => new(
        gigabytes / seconds, gigabytes / (seconds + (spread / 2)), gigabytes / Math.Max(seconds / 2, seconds - (spread / 2)));
}
