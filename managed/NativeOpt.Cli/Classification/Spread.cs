using MathNet.Numerics.Statistics;
using NativeOpt.Cli.Landscapes.Escapes;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Classification;

/// <summary>A number over the seeds; NaN if a run diverged.</summary>
/// <param name="Mean">Its mean.</param>
/// <param name="StandardDeviation">Its standard deviation (over n − 1); NaN of one seed.</param>
internal readonly record struct Spread(double Mean, double StandardDeviation)
{
    private const int Draws = 10_000;

    /// <summary>The spread of a number of each run.</summary>
    public static Spread Of(IReadOnlyList<SeedRun> runs, Func<ClassifierRun, double> number)
    {
        double[] values = [.. runs.Select(run => number(run.Run))];
        return new Spread(values.Mean(), values.StandardDeviation());
    }

    /// <summary>
    /// How much more accurate one optimizer is than another on the images to test with: the mean over the seeds that both have, whose
    /// runs began with the same weights and saw the same batches, with a 95 % bootstrap interval over these seeds.
    /// </summary>
    /// <returns>The difference; null if there are fewer than two seeds, or a run diverged.</returns>
    public static Estimate? Difference(ClassifierResult result, ClassifierResult reference, ulong seed)
    {
        double[] differences =
        [
            .. result.Runs.Join(
                reference.Runs, static own => own.Seed, static own => own.Seed,
                static (own, other) => own.Run.Accuracy - other.Run.Accuracy),
        ];
        if (differences.Length < 2 || Array.Exists(differences, double.IsNaN))
        {
            return null;
        }

        var random = new DeterministicRandom(seed, ulong.MaxValue);
        double[] means = new double[Draws];
        foreach (ref double mean in means.AsSpan())
        {
            double sum = 0;
            for (int i = 0; i < differences.Length; i++)
            {
                sum += differences[random.NextInt32(differences.Length)];
            }

            mean = sum / differences.Length;
        }

        return new Estimate(
            differences.Mean(), ArrayStatistics.QuantileInplace(means, 0.025), ArrayStatistics.QuantileInplace(means, 0.975));
    }
}
