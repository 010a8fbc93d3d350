using System.Collections.Concurrent;
using NativeOpt.Cli.Runs;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Deo;

/// <summary>Does the runs of a plan, some at a time.</summary>
/// <param name="plan">The plan.</param>
/// <param name="data">The text.</param>
/// <param name="finished">The runs that are done; null: none is kept.</param>
internal sealed class DeoRunner(DeoPlan plan, TextDataset data, FinishedRuns<DeoRun>? finished)
{
    /// <summary>Does all runs that are not done yet.</summary>
    /// <param name="afterEach">Called after each run, from one thread at a time.</param>
    /// <param name="stop">Ends it early; a run in progress is left.</param>
    /// <returns>The runs that are done.</returns>
    public IReadOnlyDictionary<DeoJob, DeoRun> Run(Action<DeoJob, DeoRun> afterEach, CancellationToken stop)
    {
        Dictionary<DeoJob, DeoRun> runs = [];
        foreach (DeoJob job in plan.Jobs)
        {
            if (finished?.Find(job.Name) is { } run)
            {
                runs.Add(job, run);
                afterEach(job, run);
            }
        }

        // In their order, so that what is done after an early end is whole.
        DeoJob[] open = [.. plan.Jobs.Where(job => !runs.ContainsKey(job))];
        Parallel.ForEach(
            Partitioner.Create(open, EnumerablePartitionerOptions.NoBuffering),
            new ParallelOptions { MaxDegreeOfParallelism = plan.Threads },
            job =>
            {
                if (!stop.IsCancellationRequested && Train(job, stop) is { } run)
                {
                    lock (runs)
                    {
                        finished?.Add(job.Name, run);
                        runs.Add(job, run);
                        afterEach(job, run);
                    }
                }
            });
        return runs;
    }

    /// <summary>One run; null if it ended early on request.</summary>
    private DeoRun? Train(DeoJob job, CancellationToken stop)
    {
        TrainingRun run = new Trainer(plan.Training(job), data).Run(
            new OptimizerRecipe(job.Rule, job.Variant.Options is not null),
            job.LearningRate,
            OptimizerRecipe.SwitchingPerRun / plan.Gradients,
            static _ => { },
            stop);
        TrainingPoint[] steps = [.. run.Points.Where(static point => point.TrainLoss is not null)];
        return run.End == TrainingEnd.Cancelled ? null : new DeoRun(
            run.End,
            [.. steps.Select(static step => step.TrainLoss!.Value)],
            [.. steps.Select(static step => step.GradientEvaluations)],
            run.GradientEvaluations,
            [
                .. run.Points.Where(static point => point.ValidationLoss is not null)
                    .Select(static point => new DeoValidation(point.GradientEvaluations, point.ValidationLoss!.Value)),
            ],
            SpikesOf([.. steps.Select(static step => (double)step.TrainLoss!.Value)]),
            steps.Count(static step => step.Curvature is not null),
            run.StepTime.TotalSeconds);
    }

    private int[] SpikesOf(double[] losses)
    {
        var spikes = new LossSpikes();
        return [.. Enumerable.Range(0, losses.Length).Where(step => spikes.Add(losses[step], plan.Spike.Window, plan.Spike.Threshold))];
    }
}
