using System.Globalization;
using System.Text;
using NativeOpt.Cli.Statistics;

namespace NativeOpt.Cli.Deo;

/// <summary>The tables of <c>nativeopt deo</c> in Markdown.</summary>
internal static class DeoMarkdown
{
    public static string Of(DeoResults results)
    {
        var text = new StringBuilder(
            "| optimizer | learning rate | dimer | spikes in 1,000 steps | training loss | validation loss | diverged |\n"
            + "| --- | ---: | --- | ---: | ---: | ---: | ---: |\n");
        foreach (DeoCell cell in results.Cells)
        {
            text.Append(
                CultureInfo.InvariantCulture,
                $"| {cell.Rule.Name} | {cell.LearningRate} | {cell.Variant.Name} | {Format(cell.SpikeRate, "0.0")} | ");
            text.Append(
                CultureInfo.InvariantCulture,
                $"{Format(cell.TrainLoss)} | {Format(cell.ValidationLoss)} | {cell.Diverged} of {cell.Runs.Count} |\n");
        }

        text.Append(
            "\n| optimizer | dimer | pairs | Δ spikes in 1,000 steps | fewer, more | Δ training loss | Δ validation loss | "
            + "Δ training loss, equal steps | best without | best with |\n"
            + "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
        foreach (DeoComparison own in results.Comparisons)
        {
            text.Append(
                CultureInfo.InvariantCulture,
                $"| {own.Rule.Name} | {own.Variant.Name} | {own.Pairs} | {Format(own.SpikeRate, "+0.0;−0.0;0.0")} | ");
            text.Append(
                CultureInfo.InvariantCulture,
                $"{own.FewerSpikes}, {own.MoreSpikes} | {Format(own.TrainLoss)} | {Format(own.ValidationLoss)} | ");
            text.Append($"{Format(own.TrainLossOfEqualSteps)} | {Format(own.BestAlone)} | {Format(own.BestWith)} |\n");
        }

        return text.ToString();
    }

    /// <summary>A mean and its deviation over seeds.</summary>
    public static string Format(Spread own, string format = "0.000")
    {
        return !double.IsFinite(own.Mean) ? "n/a"
            : Text(own.Mean) + (double.IsFinite(own.StandardDeviation) ? $" ± {Text(own.StandardDeviation)}" : "");

        string Text(double value) => value.ToString(format, CultureInfo.InvariantCulture);
    }

    /// <summary>A difference and its interval.</summary>
    public static string Format(Estimate own, string format = "+0.000;−0.000;0.000")
    {
        return double.IsFinite(own.Value) ? $"{Text(own.Value)} [{Text(own.Low)}, {Text(own.High)}]" : "n/a";

        string Text(double value) => value.ToString(format, CultureInfo.InvariantCulture);
    }

    /// <summary>The validation loss at the best learning rate.</summary>
    public static string Format(DeoCell? best) => best is null
        ? "n/a" : string.Create(CultureInfo.InvariantCulture, $"{Format(best.ValidationLoss)} @ {best.LearningRate}");
}
