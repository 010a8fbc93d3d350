using NativeOpt.Cli.Runs;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Finetuning;

/// <summary>
/// Fine-tunes a model with each optimizer: once with each learning rate of its grid, and then with the best of them for each seed.
/// </summary>
/// <param name="plan">What to do.</param>
/// <param name="start">The model that every run begins with.</param>
/// <param name="data">The text.</param>
/// <param name="finished">The runs that are done already.</param>
internal sealed class FinetuneRunner(FinetunePlan plan, SavedGpt start, FinetuneData data, FinishedRuns<FinetuneRun> finished)
{
    private readonly Lock _gate = new();

    private int Steps => plan.Epochs * data.StepsPerEpoch;

    /// <summary>Does all runs that are not done, several at a time.</summary>
    /// <param name="report">Called for each run when it is done, from any thread, one at a time.</param>
    /// <param name="advance">Called with the number of epochs that are done, from any thread: after each, and for finished runs.</param>
    /// <param name="stop">Ends it after the steps in progress.</param>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public void Run(Action<string, FinetuneRun> report, Action<int> advance, CancellationToken stop)
    {
        int threads = NativeRuntime.CpuThreads;
        NativeRuntime.CpuThreads = 1; // of each run
        try
        {
            RunAll(
                from recipe in plan.Recipes
                where plan.Rates(recipe).Count > 1
                from rate in plan.Rates(recipe)
                select (recipe, rate, plan.Seed - 1));
            RunAll(
                from seed in plan.RunSeeds
                from recipe in plan.Recipes
                select (recipe, ChosenRate(recipe), seed));
        }
        finally
        {
            NativeRuntime.CpuThreads = threads;
        }

        void RunAll(IEnumerable<(OptimizerRecipe Recipe, double Rate, ulong Seed)> jobs)
        {
            var options = new ParallelOptions { MaxDegreeOfParallelism = plan.Threads, CancellationToken = stop };
            Parallel.ForEach([.. jobs], options, job =>
            {
                string name = Name(job.Recipe, job.Rate, job.Seed);
                if (Find(job.Recipe, job.Rate, job.Seed) is not null)
                {
                    advance(plan.Epochs);
                    return;
                }

                FinetuneRun run = Run(job.Recipe, job.Rate, job.Seed, advance, stop);
                finished.Add(name, run);
                lock (_gate)
                {
                    report(name, run);
                }
            });
        }
    }

    /// <summary>What there is of all optimizers: as many seeds as all of them have finished; none of a seed is left out.</summary>
    public IReadOnlyList<FinetuneResult> Results()
    {
        bool hasRates = plan.Recipes.All(recipe => plan.Rates(recipe).Count == 1 || Tried(recipe).Count == plan.Rates(recipe).Count);
        if (!hasRates)
        {
            return [];
        }

        ulong[] seeds = [.. plan.RunSeeds.TakeWhile(seed =>
            plan.Recipes.All(recipe => Find(recipe, ChosenRate(recipe), seed) is not null))];
        return seeds.Length == 0 ? [] :
        [
            .. plan.Recipes.Select(recipe => new FinetuneResult(
                recipe.Name,
                ChosenRate(recipe),
                Tried(recipe),
                [.. seeds.Select(seed => Find(recipe, ChosenRate(recipe), seed)!)])),
        ];
    }

    // The lowest loss of the held-out part, the smaller rate of two that are equal: the rates ascend.
    private double ChosenRate(OptimizerRecipe recipe) =>
        plan.Rates(recipe) is [var only] ? only : Tried(recipe).MinBy(static run => run.HeldOutLoss)!.LearningRate;

    private IReadOnlyList<FinetuneRun> Tried(OptimizerRecipe recipe) =>
        plan.Rates(recipe) is [_] ? [] : [.. plan.Rates(recipe).Select(rate => Find(recipe, rate, plan.Seed - 1)).OfType<FinetuneRun>()];

    private FinetuneRun? Find(OptimizerRecipe recipe, double rate, ulong seed) => finished.Find(Name(recipe, rate, seed));

    private static string Name(OptimizerRecipe recipe, double rate, ulong seed) =>
        FormattableString.Invariant($"{recipe.Name} at {rate}, seed {seed}");

    private FinetuneRun Run(OptimizerRecipe recipe, double rate, ulong seed, Action<int> advance, CancellationToken stop)
    {
        var schedule = new TrainingSchedule(Steps, plan.BatchSize, rate, Steps / 10);
        Gpt model = start.ToModel(plan.BatchSize);
        model.Threads = 1;
        using var trained = new OptimizedGpt(
            model,
            recipe,
            plan.SwitchingRate ?? OptimizerRecipe.SwitchingPerRun / Steps,
            new TrainingPlan(start.Config, schedule) { Seed = seed });
        int[] inputs = new int[plan.BatchSize * start.Config.ContextLength], targets = new int[inputs.Length];
        List<FinetunePoint> points = [Measure(model, 0)];
        for (int epoch = 0; epoch < plan.Epochs; epoch++)
        {
            int[] starts = data.Epoch(seed, epoch);
            for (int i = 0; i < data.StepsPerEpoch; i++)
            {
                stop.ThrowIfCancellationRequested();
                data.Fill(data.Training, starts.AsSpan(i * plan.BatchSize, plan.BatchSize), inputs, targets);
                double now = schedule.LearningRate((epoch * data.StepsPerEpoch) + i);
                if (!float.IsFinite(trained.Step(inputs, targets, plan.BatchSize, now)))
                {
                    return new FinetuneRun(rate, seed, points, IsDiverged: true);
                }
            }

            FinetunePoint point = Measure(model, epoch + 1);
            points.Add(point);
            if (!double.IsFinite(point.ValidationLoss) || !double.IsFinite(point.TrainingLoss) || !double.IsFinite(point.HeldOutLoss))
            {
                return new FinetuneRun(rate, seed, points, IsDiverged: true);
            }

            advance(1);
        }

        return new FinetuneRun(rate, seed, points, IsDiverged: false);
    }

    private FinetunePoint Measure(Gpt model, int epoch) => new(
        epoch, data.Loss(model, data.Training), data.Loss(model, data.HeldOut), data.Loss(model, data.Validation));
}
