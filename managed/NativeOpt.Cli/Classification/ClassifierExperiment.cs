using System.Collections.Concurrent;
using NativeOpt.Cli.Classification.Data;
using NativeOpt.Cli.Runs;

namespace NativeOpt.Cli.Classification;

/// <summary>
/// Does the runs of a plan, several at a time: first those that choose each optimizer's learning rate, on training images without those
/// that are held out, then those of all seeds, on all training images.
/// </summary>
/// <param name="plan">The plan.</param>
/// <param name="finished">Keeps the runs; null: nothing is kept.</param>
/// <param name="afterEach">Called after each run that was done or taken up, one at a time.</param>
/// <param name="stop">Ends it.</param>
internal sealed class ClassifierExperiment(
    ClassifierPlan plan, FinishedRuns<ClassifierRun>? finished, Action<ClassifierJob, ClassifierRun> afterEach, CancellationToken stop)
{
    private readonly ClassifierRunner _runner = new(plan, stop);

    /// <summary>Does all runs.</summary>
    /// <returns>What came of each optimizer; if it was cancelled, of those that have a learning rate, from the seeds that were done.
    /// </returns>
    public IReadOnlyList<ClassifierResult> Run()
    {
        int[] order = plan.Images.Order(plan.Seed)[..plan.TrainImages];
        List<(ClassifierJob Job, ClassifierRun Run)> search = [];
        if (plan.Searches)
        {
            var kept = new Examples(plan.Images.Train, order[plan.HeldOut..]);
            search = RunAll(plan.SearchJobs, kept, new Examples(plan.Images.Train, order[..plan.HeldOut], kept));
            if (search.Count < plan.SearchJobs.Count)
            {
                return [];
            }
        }

        ClassifierChoice[] choices = [.. plan.Optimizers.Select(optimizer => Choose(optimizer, search))];
        var training = new Examples(plan.Images.Train, order);
        var test = new Examples(plan.Images.Test, [.. Enumerable.Range(0, plan.Images.Test.Count)], training);

        // A seed of all optimizers after the other, so that what there is early can be compared.
        ClassifierJob[] jobs =
        [
            .. from seed in Enumerable.Range(0, plan.Seeds)
               from choice in choices
               select new ClassifierJob(choice.Optimizer, choice.LearningRate, plan.Seed + (ulong)seed),
        ];
        List<(ClassifierJob Job, ClassifierRun Run)> runs = RunAll(jobs, training, test);
        return
        [
            .. choices.Select(choice => new ClassifierResult(
                choice,
                [
                    .. runs.Where(own => own.Job.Optimizer == choice.Optimizer).OrderBy(static own => own.Job.Seed)
                        .Select(static own => new SeedRun(own.Job.Seed, own.Run)),
                ])).Where(static result => result.Runs.Count > 0),
        ];
    }

    private ClassifierChoice Choose(ClassifierOptimizer optimizer, List<(ClassifierJob Job, ClassifierRun Run)> search)
    {
        TriedRate[] tried =
        [
            .. search.Where(own => own.Job.Optimizer == optimizer).OrderBy(static own => own.Job.LearningRate)
                .Select(static own => new TriedRate(own.Job.LearningRate, own.Run.Accuracy)),
        ];

        // NaN is less than all numbers; of equal ones the first counts, which has the smallest rate.
        double rate = tried.Length > 0 ? tried.MaxBy(static own => own.Accuracy)!.LearningRate : plan.FixedRate(optimizer);
        return new ClassifierChoice(optimizer, rate, tried);
    }

    // Those that were done before it was cancelled. What a run does depends on nothing but its job.
    private List<(ClassifierJob Job, ClassifierRun Run)> RunAll(
        IReadOnlyList<ClassifierJob> jobs, Examples training, Examples evaluation)
    {
        List<(ClassifierJob, ClassifierRun)> runs = [];
        var options = new ParallelOptions { MaxDegreeOfParallelism = plan.Threads, CancellationToken = stop };
        try
        {
            Parallel.ForEach(Partitioner.Create(jobs, EnumerablePartitionerOptions.NoBuffering), options, job =>
            {
                string name = FormattableString.Invariant($"{job.Optimizer.Name}, rate {job.LearningRate}, seed {job.Seed}");
                ClassifierRun? run = finished?.Find(name);
                if (run is null)
                {
                    run = _runner.Run(job, training, evaluation);
                    finished?.Add(name, run);
                }

                lock (runs)
                {
                    runs.Add((job, run));
                    afterEach(job, run);
                }
            });
        }
        catch (OperationCanceledException)
        {
            // What there is, is the result.
        }

        return runs;
    }
}
