namespace NativeOpt.Cli.Saddles;

/// <summary>Runs an optimizer from near a saddle point until it has left, gives up or has used its gradients up.</summary>
/// <param name="problem">The problem.</param>
/// <param name="budget">The gradient evaluations that a run may use.</param>
/// <param name="device">Where the optimizer runs; the problem is computed on the CPU.</param>
/// <param name="seed">Selects the starts and the dimers' first directions.</param>
internal sealed class SaddleRunner(SaddleProblem problem, long budget, Device device, ulong seed)
{
    // In depths of the saddle: a loss from which no run came back.
    private const double Divergence = 1e6;

    // Steps for which the loss must stay at the goal or below: a wild hop across the valley leaves no saddle.
    private const int Settling = 50;

    /// <summary>One run.</summary>
    /// <param name="rule">The update rule.</param>
    /// <param name="dimer">The dimer around it.</param>
    /// <param name="learningRate">The learning rate.</param>
    /// <param name="start">The number of the start; the same start for every optimizer.</param>
    /// <param name="keepsLosses">Whether the result has all losses.</param>
    /// <param name="stop">Ends the run.</param>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled.</exception>
    public SaddleRun Run(
        SaddleRule rule, SaddleDimer dimer, double learningRate, int start, bool keepsLosses, CancellationToken stop)
    {
        using var parameters = new SaddleParameters(problem, problem.Start(seed, (ulong)start), device);
        using Optimizer optimizer = rule.Create(parameters.Set, learningRate);
        using DimerOptimizer? stepper = dimer.Options is null
            ? null
            : new DimerOptimizer(optimizer, dimer.Options with { Seed = seed + (ulong)start });
        if (dimer.IsExact)
        {
            stepper!.SetDirection(parameters.Split(problem.EscapeDirection));
        }

        SaddleBaseline? baseline = dimer.Baseline?.Invoke(seed + (ulong)start);
        double usedByBaseline = 0;
        List<(double Evaluations, double Loss)> losses = [];
        long steps = 0;
        SaddleRun? left = null;
        while (true)
        {
            stop.ThrowIfCancellationRequested();

            // The gradient counts with the step that it is for, so a loss costs nothing to look at.
            double loss = parameters.Evaluate();
            long used = stepper?.GradientEvaluations ?? (steps + (long)Math.Ceiling(usedByBaseline));
            if (keepsLosses)
            {
                losses.Add((used, loss));
            }

            if (IsLost(loss))
            {
                return Result(SaddleOutcome.Diverged, used);
            }

            left = loss > problem.Goal ? null
                : left ?? (used <= budget ? Result(SaddleOutcome.Left, used) : null);
            if (left is not null && steps >= left.Steps + Settling)
            {
                return left;
            }

            if (left is null && used >= budget)
            {
                return Result(SaddleOutcome.NotWithin, used);
            }

            while (stepper is { NeedsDisplacedGradient: true })
            {
                stepper.Displace();
                parameters.ReadBack();
                if (!double.IsFinite(parameters.Evaluate()))
                {
                    return Result(SaddleOutcome.Diverged, used);
                }
            }

            if (baseline is not null)
            {
                usedByBaseline += baseline.Prepare(parameters, steps, budget - used - 1);
            }

            if (stepper is null)
            {
                optimizer.Step();
            }
            else
            {
                stepper.Step();
            }

            parameters.ReadBack();
            steps++;
        }

        SaddleRun Result(SaddleOutcome outcome, long used) => new(learningRate, outcome, used, steps, losses);
    }

    private bool IsLost(double loss) => !(loss - problem.SaddleLoss < Divergence * problem.Depth);
}
