using NativeOpt.Cli.Optimizers;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Landscapes;

/// <summary>What <c>nativeopt landscape</c> is to do. All optimizers begin at the same point and see the same noise.</summary>
internal sealed record LandscapePlan
{
    public const int DefaultSteps = 2000;
    public const double DefaultRateFactor = 5;

    public required IReadOnlyList<Landscape> Landscapes { get; init; }

    public required IReadOnlyList<OptimizerRecipe> Recipes { get; init; }

    public int Steps { get; init; } = DefaultSteps;

    /// <summary>Where runs begin; null: at the start of each landscape.</summary>
    public (double X, double Y)? Start { get; init; }

    /// <summary>The one learning rate of all; null: <see cref="RateFactor"/> counts.</summary>
    public double? LearningRate { get; init; }

    /// <summary>How many times its rule's default the learning rate of an optimizer is.</summary>
    public double RateFactor { get; init; } = DefaultRateFactor;

    /// <summary>The standard deviation of the noise in each component of the gradient, in mean gradients.</summary>
    public double Noise { get; init; }

    /// <summary>Selects the noise, and the dimers' first directions.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>The number of runs.</summary>
    public int RunCount => Landscapes.Count * Recipes.Count;

    /// <summary>The learning rate of an optimizer. Those of training are for gradients of another size.</summary>
    public double Rate(OptimizerRecipe recipe) =>
        LearningRate ?? OptimizerPresets.Find(recipe.Preset.Name)![OptimizerPresets.LearningRate] * RateFactor;

    /// <summary>Where runs on a landscape begin.</summary>
    public (double X, double Y) StartOn(Landscape landscape) => Start ?? landscape.DefaultStart;

    /// <summary>Runs all optimizers on a landscape.</summary>
    /// <param name="landscape">The landscape.</param>
    /// <param name="afterEach">Called after each run.</param>
    /// <param name="stop">Ends it.</param>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled.</exception>
    public IReadOnlyList<LandscapeRun> Run(Landscape landscape, Action afterEach, CancellationToken stop)
    {
        List<LandscapeRun> runs = [];
        foreach (OptimizerRecipe recipe in Recipes)
        {
            using LandscapeRunner runner = new(landscape, StartOn(landscape), Noise, Seed);
            runs.Add(runner.Run(recipe, Rate(recipe), Steps, stop));
            afterEach();
        }

        return runs;
    }
}
