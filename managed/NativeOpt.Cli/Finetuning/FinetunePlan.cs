using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Finetuning;

/// <summary>What <c>nativeopt finetune</c> is to do.</summary>
internal sealed record FinetunePlan
{
    /// <summary>The learning rates that are tried, times the optimizer's rate in training: a fine-tuned model needs a smaller one.
    /// </summary>
    public static IReadOnlyList<decimal> RateFactors { get; } = [0.03m, 0.1m, 0.3m, 1, 3];

    /// <summary>The optimizers.</summary>
    public required IReadOnlyList<OptimizerRecipe> Recipes { get; init; }

    /// <summary>Times that all of the training text is learned from.</summary>
    public int Epochs { get; init; } = 10;

    /// <summary>Windows in a step.</summary>
    public int BatchSize { get; init; } = 16;

    /// <summary>Runs of each optimizer.</summary>
    public int Seeds { get; init; } = 3;

    /// <summary>The seed of the first run, at least 1; the others follow it. The one before it is for the choice of rates.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>The one learning rate; null: the best of a grid for each optimizer.</summary>
    public double? LearningRate { get; init; }

    /// <summary>DualAdam's switching rate; null: as suits the number of steps.</summary>
    public double? SwitchingRate { get; init; }

    /// <summary>Runs at a time, each on one thread; they never change a result.</summary>
    public int Threads { get; init; } = Environment.ProcessorCount;

    /// <summary>The learning rates of an optimizer's grid.</summary>
    public IReadOnlyList<double> Rates(OptimizerRecipe recipe) => LearningRate is { } rate ? [rate]
        : [.. RateFactors.Select(factor => (double)((decimal)recipe.LearningRate * factor))];

    /// <summary>The number of runs, those that choose the learning rate included.</summary>
    public int RunCount => Recipes.Sum(recipe => Seeds + (Rates(recipe).Count > 1 ? Rates(recipe).Count : 0));

    /// <summary>The seeds of the runs that are told of.</summary>
    public IEnumerable<ulong> RunSeeds => Enumerable.Range(0, Seeds).Select(i => Seed + (ulong)i);
}
