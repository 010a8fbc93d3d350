using MathNet.Numerics.Statistics;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Finetuning;

/// <summary>
/// The mean difference of two optimizers after the last epoch, seed by seed, with its 95 % interval: the differences of the seeds
/// are drawn anew, with replacement (percentile bootstrap). Of few seeds it is narrower than it should be.
/// </summary>
/// <param name="Name">The optimizer.</param>
/// <param name="Other">The one that is subtracted.</param>
/// <param name="What">The number.</param>
/// <param name="Value">The mean difference.</param>
/// <param name="Low">The lower end of the interval.</param>
/// <param name="High">The upper end.</param>
internal sealed record FinetuneComparison(string Name, string Other, string What, double Value, double Low, double High)
{
    private const int Draws = 10_000;

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
        var random = new DeterministicRandom(0, ulong.MaxValue);
        double[] means = new double[Draws];
        for (int draw = 0; draw < Draws; draw++)
        {
            for (int i = 0; i < differences.Length; i++)
            {
                means[draw] += differences[random.NextInt32(differences.Length)] / differences.Length;
            }
        }

        return new FinetuneComparison(
            result.Name, other.Name, what, differences.Average(), ArrayStatistics.QuantileInplace(means, 0.025),
            ArrayStatistics.QuantileInplace(means, 0.975));
    }
}
