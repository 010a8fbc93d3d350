using NativeOpt.Cli.Saddles;
using Xunit;

namespace NativeOpt.Cli.Tests.Saddles;

/// <summary>Runs take as many gradients as theory says, and end as they should.</summary>
public sealed class SaddleRunnerTests
{
    private static readonly SaddleProblem _quadratic = SaddleProblemTests.Find("quadratic");
    private static readonly SaddleProblem _monkey = SaddleProblemTests.Find("monkey");

    [Theory]
    [InlineData(0.1)]
    [InlineData(0.03)]
    public void Gradient_descent_leaves_at_the_rate_of_the_negative_eigenvalue(double rate)
    {
        SaddleRun run = Run(_quadratic, "sgd", Dimer("none"), rate);
        Assert.Equal(SaddleOutcome.Left, run.Outcome);
        Assert.Equal(run.Steps, run.GradientEvaluations);

        // Along the eigenvector, x grows by 1 + rate; the loss is half its depth where x² = 1 - sqrt(1/2).
        double steps = Math.Log(Math.Sqrt(1 - Math.Sqrt(0.5)) / StartAlongEscape()) / Math.Log(1 + rate);
        Assert.InRange(run.Steps, steps, steps * 1.03);
    }

    [Fact]
    public void Escape_along_the_exact_direction_grows_by_alpha_more()
    {
        const double rate = 0.01;
        SaddleRun run = Run(_quadratic, "sgd", Exact(DimerCorrection.Escape, alpha: 5), rate);
        Assert.Equal(SaddleOutcome.Left, run.Outcome);
        double steps = Math.Log(Math.Sqrt(1 - Math.Sqrt(0.5)) / StartAlongEscape()) / Math.Log(1 + (6 * rate));
        Assert.InRange(run.Steps, steps, steps * 1.03);

        // One more gradient for every tenth step, from the first on.
        Assert.Equal(run.Steps + ((run.Steps + 9) / 10), run.GradientEvaluations);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    public void The_published_correction_along_the_exact_direction_stays_at_the_saddle(double alpha)
    {
        SaddleRun run = Run(_quadratic, "sgd", Exact(DimerCorrection.Published, alpha), 0.1, budget: 300);
        Assert.Equal(SaddleOutcome.NotWithin, run.Outcome);
        Assert.Equal(300, run.GradientEvaluations, 1.0);

        // The rule alone has long left by then. In the end the other negative eigenvalues, half as large, do grow.
        SaddleRun alone = Run(_quadratic, "sgd", Dimer("none"), 0.1, budget: 300);
        Assert.Equal(SaddleOutcome.Left, alone.Outcome);
        Assert.All(
            run.Losses.Where(point => point.Evaluations <= alone.GradientEvaluations),
            static point => Assert.InRange(point.Loss, -1e-4, 1e-4));
    }

    [Fact]
    public void A_learned_direction_costs_what_its_rotations_do()
    {
        var options = new DimerOptions
        {
            Angle = RotationAngle.Optimal,
            RotationsPerUpdate = 2,
            Interval = 4,
            Displacement = 1e-3,
        };
        SaddleRun run = Run(_quadratic, "sgd", new SaddleDimer("learned", "", 0, options), 0.01, budget: 100);
        Assert.Equal(SaddleOutcome.NotWithin, run.Outcome);
        Assert.Equal(run.Steps + (3 * ((run.Steps + 3) / 4)), run.GradientEvaluations);
    }

    [Fact]
    public void A_rate_that_is_too_large_diverges()
    {
        SaddleRun run = Run(_quadratic, "sgd", Dimer("none"), 3);
        Assert.Equal(SaddleOutcome.Diverged, run.Outcome);
        Assert.Equal(double.PositiveInfinity, run.Cost);
    }

    [Fact]
    public void A_hop_across_the_valley_is_no_escape()
    {
        // The walls of the valley curve by 27, so this rate is too large by far, but the loss passes the goal once.
        SaddleRun run = Run(_monkey, "sgd", Dimer("none"), 0.3);
        Assert.Equal(SaddleOutcome.Diverged, run.Outcome);
        Assert.Contains(run.Losses, static point => point.Loss <= _monkey.Goal);
    }

    [Fact]
    public void Losses_begin_at_the_start_and_are_counted_in_gradients()
    {
        SaddleRun run = Run(_quadratic, "sgd", Exact(DimerCorrection.Escape, alpha: 5), 0.03);
        Assert.Equal(0, run.Losses[0].Evaluations);
        Assert.Equal(2, run.Losses[1].Evaluations);
        Assert.Equal(3, run.Losses[2].Evaluations);
        Assert.InRange(run.Losses[0].Loss, -1e-5, 1e-5);
        (double _, double loss) = run.Losses.Single(point => point.Evaluations == run.GradientEvaluations);
        Assert.True(loss <= _quadratic.Goal);
        Assert.Empty(new SaddleRunner(_quadratic, 10, Device.Cpu, 1)
            .Run(Rule("sgd"), Dimer("none"), 0.1, 0, keepsLosses: false, default).Losses);
    }

    [Fact]
    public void Every_rule_with_every_dimer_runs_and_repeats_bit_for_bit()
    {
        foreach (SaddleRule rule in SaddleRule.All)
        {
            foreach (SaddleDimer dimer in SaddleDimer.All)
            {
                SaddleProblem problem = SaddleProblemTests.Find("factorization");
                double rate = rule.LearningRates[1];
                SaddleRun run = Run(problem, rule.Name, dimer, rate, budget: 60);
                // Without a dimer's, some soon end: function values of 200 coordinates are more than 60 gradients, SAM diverges.
                Assert.True(run.Losses.Count > (dimer.Baseline is null ? 5 : 0));
                Assert.True(run.Losses.SequenceEqual(Run(problem, rule.Name, dimer, rate, budget: 60).Losses));
            }
        }
    }

    [Fact]
    public void Sharpness_aware_steps_take_two_gradients_and_the_one_up_the_gradient()
    {
        SaddleRun run = Run(_quadratic, "sgd", Dimer("sam"), 0.1, budget: 200);
        Assert.Equal(2 * run.Steps, run.GradientEvaluations);

        // The first step by hand.
        double[] point = _quadratic.Start(1, 0);
        double[] gradient = new double[point.Length];
        _quadratic.Evaluate(point, gradient);
        double[] displaced = [.. point];
        Dense.Add(SharpnessAware.Radius / Math.Sqrt(Dense.Dot(gradient, gradient)), gradient, displaced);
        _quadratic.Evaluate(displaced, gradient);
        Dense.Add(-0.1, gradient, point);
        double expected = _quadratic.Evaluate(point, gradient);
        Assert.Equal(expected, run.Losses[1].Loss, 1e-6 * Math.Abs(expected));
    }

    [Fact]
    public void A_perturbation_goes_into_the_ball_and_pauses()
    {
        using var parameters = new SaddleParameters(_quadratic, _quadratic.Start(1, 0), Device.Cpu);
        var baseline = new PerturbedDescent(seed: 3);
        parameters.Evaluate();
        double[] before = [.. parameters.Point];
        Assert.Equal(1, baseline.Prepare(parameters, step: 0, left: 100));
        double[] jump = [.. parameters.Point];
        Dense.Add(-1, before, jump);

        // In so many dimensions almost all of the ball is near its surface.
        Assert.InRange(Math.Sqrt(Dense.Dot(jump, jump)), 0.98 * PerturbedDescent.Radius, 1.0001 * PerturbedDescent.Radius);
        Assert.True(parameters.GradientNorm > 0);
        for (long step = 1; step <= PerturbedDescent.Pause; step++)
        {
            Assert.Equal(0, baseline.Prepare(parameters, step, left: 100));
        }
    }

    [Fact]
    public void Function_values_find_a_direction_of_negative_curvature()
    {
        SaddleProblem problem = SaddleProblemTests.Find("factorization");
        using var parameters = new SaddleParameters(problem, problem.Start(1, 0), Device.Cpu);
        parameters.Evaluate();
        double[] before = [.. parameters.Point];
        double used = new ZerothOrderCurvature(seed: 3).Prepare(parameters, step: 0, left: 1e6);

        // Whole products of the Hessian, four values a coordinate, and the gradient at the new place.
        double products = (used - 1) / (4 * problem.Dimension * SaddleBaseline.CostOfLoss);
        Assert.Equal(Math.Round(products), products, 1e-9);
        double[] stride = [.. parameters.Point];
        Dense.Add(-1, before, stride);
        Assert.Equal(ZerothOrderCurvature.Stride, Math.Sqrt(Dense.Dot(stride, stride)), 1e-6);

        // The curvature of the loss along the way, from gradients.
        double[] ahead = [.. before];
        double[] behind = new double[ahead.Length];
        double[] change = new double[ahead.Length];
        Dense.Add(1e-2, stride, ahead);
        problem.Evaluate(before, behind);
        problem.Evaluate(ahead, change);
        Dense.Add(-1, behind, change);
        Assert.True(Dense.Dot(change, stride) / (1e-2 * Dense.Dot(stride, stride)) < 0.5 * ZerothOrderCurvature.EnoughCurvature);
    }

    [Fact]
    public void Cancellation_ends_a_run()
    {
        Assert.Throws<OperationCanceledException>(() =>
            new SaddleRunner(_quadratic, 10, Device.Cpu, 1)
                .Run(Rule("sgd"), Dimer("none"), 0.1, 0, false, new CancellationToken(canceled: true)));
    }

    [Fact]
    public void A_cell_shows_the_rate_with_the_smallest_median()
    {
        SaddleCell cell = Cell([Runs(1, 10, 30, 20), Runs(2, 9, 12, null), Runs(3, 8, null, null)]);
        Assert.Equal(2, cell.LearningRate);
        Assert.Equal(12, cell.Cost);
        Assert.Equal(9, cell.SmallestCost);
        Assert.Equal(double.PositiveInfinity, cell.LargestCost);
        Assert.Equal(SaddleOutcome.Left, cell.Outcome);
        Assert.Equal(SaddleOutcome.NotWithin, cell.WorstOutcome);

        // Of an even number it is between the two in the middle, which must both have left.
        Assert.Equal(15, Cell([Runs(1, 10, 20)]).Cost);
        Assert.Equal(double.PositiveInfinity, Cell([Runs(1, 10, null)]).Cost);

        // Where no median is finite: the rate with which the most left, and the smallest of equals.
        Assert.Equal(2, Cell([Runs(1, null, null, null), Runs(2, 7, null, null), Runs(3, 8, null, null)]).LearningRate);
        SaddleCell none = Cell([Runs(1, null, null, null), Runs(2, null, null, null)]);
        Assert.Equal(1, none.LearningRate);
        Assert.Equal(SaddleOutcome.NotWithin, none.Outcome);

        static SaddleCell Cell(IReadOnlyList<SaddleRun>[] runs) => new(_quadratic, Rule("sgd"), Dimer("none"), runs);

        static SaddleRun[] Runs(double rate, params long?[] costs) =>
            [.. costs.Select(cost => new SaddleRun(
                rate, cost is null ? SaddleOutcome.NotWithin : SaddleOutcome.Left, cost ?? 100, cost ?? 100, []))];
    }

    private static SaddleRun Run(
        SaddleProblem problem, string rule, SaddleDimer dimer, double rate, long budget = 1000) =>
        new SaddleRunner(problem, budget, Device.Cpu, seed: 1).Run(Rule(rule), dimer, rate, 0, keepsLosses: true, default);

    private static SaddleRule Rule(string name) => SaddleRule.All.Single(rule => rule.Name == name);

    private static SaddleDimer Dimer(string name) => SaddleDimer.All.Single(dimer => dimer.Name == name);

    private static SaddleDimer Exact(DimerCorrection correction, double alpha)
    {
        var options = new DimerOptions { Correction = correction, Alpha = alpha, RotationRate = 0, Displacement = 1e-3 };
        return new SaddleDimer("exact", "", 0, options, IsExact: true);
    }

    private static double StartAlongEscape() =>
        Math.Abs(Dense.Dot(_quadratic.Start(1, 0), _quadratic.EscapeDirection));
}
