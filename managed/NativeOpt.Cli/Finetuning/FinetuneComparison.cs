using NativeOpt.Cli.Statistics;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Finetuning;

/// <summary>A difference of two optimizers after the last epoch, seed by seed.</summary>
/// <param name="Name">The optimizer.</param>
/// <param name="Other">The one that is subtracted.</param>
/// <param name="What">The number.</param>
/// <param name="Difference">The mean over the seeds of how much larger it is.</param>
internal sealed record FinetuneComparison(string Name, string Other, string What, Estimate Difference)
{
    private static readonly (string What, Func<FinetunePoint, double> Of)[] _numbers =
    [
        ("validation perplexity", static point => point.Perplexity),
        ("generalisation gap", static point => point.Gap),
        ("held-out loss", static point => point.HeldOutLoss), // another part of the text: does it say the same?
    ];

    /// <summary>Each optimizer but the first beside the first one; none of fewer than two seeds.</summary>
    public static IReadOnlyList<FinetuneComparison> All(IReadOnlyList<FinetuneResult> results)
    {
        FinetuneResult[] complete = [.. results.Where(static result => result.IsComplete && result.Runs.Count > 1)];
        return
        [
            .. from result in complete.Skip(1)
               from number in _numbers
               select Of(result, complete[0], number.What, number.Of),
        ];
    }

    private static FinetuneComparison Of(FinetuneResult result, FinetuneResult other, string what, Func<FinetunePoint, double> number)
    {
        double[] differences = [.. result.Runs.Zip(other.Runs, (a, b) => number(a.Points[^1]) - number(b.Points[^1]))];
        return new FinetuneComparison(
            result.Name, other.Name, what, Estimate.OfMean(differences, new DeterministicRandom(0, ulong.MaxValue)));
    }
}
