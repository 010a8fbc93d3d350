using NativeOpt.Cli.Landscapes;
using NativeOpt.Cli.Training;
using Xunit;

namespace NativeOpt.Cli.Tests.Landscapes;

/// <summary>Runs are what plain C# in double computes, in the units that the help states.</summary>
public sealed class LandscapeRunnerTests
{
    public static TheoryData<string, string, double> Cases => new()
    {
        { "sharp-flat", "adam", 0 }, { "sharp-flat", "adam", 0.5 }, { "eggholder", "adam", 0 }, { "sharp-flat", "sgd", 0 },
        { "sharp-flat", "sgd", 0.5 },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void Runs_end_where_plain_arithmetic_ends(string landscapeName, string optimizer, double noise)
    {
        const int Steps = 120;
        const double Rate = 0.004;
        Landscape landscape = Landscape.All.Single(own => own.Name == landscapeName);
        LandscapeRun run = Run(landscape, optimizer, Rate, Steps, noise);
        Assert.False(run.HasLeft);
        Assert.Equal(Steps, run.Steps);
        Assert.Equal(Steps, run.GradientEvaluations);

        double[] theta = [landscape.DefaultStart.X / landscape.HalfWidth, landscape.DefaultStart.Y / landscape.HalfWidth];
        double[] first = [0, 0];
        double[] second = [0, 0];
        for (int step = 0; step < Steps; step++)
        {
            LandscapeValue value = landscape.Evaluate(theta[0] * landscape.HalfWidth, theta[1] * landscape.HalfWidth);
            var random = new DeterministicRandom(5, (ulong)step);
            double[] gradient = [value.GradientX, value.GradientY];
            for (int i = 0; i < 2; i++)
            {
                double g = (gradient[i] / landscape.MeanGradient) + (noise * random.NextNormal());
                if (optimizer == "sgd")
                {
                    first[i] = (0.9 * first[i]) + g; // the momentum of training
                    theta[i] -= Rate * first[i];
                    continue;
                }

                first[i] = (0.9 * first[i]) + (0.1 * g);
                second[i] = (0.999 * second[i]) + (0.001 * g * g);
                theta[i] -= Rate * (first[i] / (1 - Math.Pow(0.9, step + 1)))
                    / (Math.Sqrt(second[i] / (1 - Math.Pow(0.999, step + 1))) + 1e-8);
            }
        }

        // It moved by far more than what rounding to float32 explains.
        Assert.Equal(theta[0] * landscape.HalfWidth, run.End.X, 1e-4 * landscape.HalfWidth);
        Assert.Equal(theta[1] * landscape.HalfWidth, run.End.Y, 1e-4 * landscape.HalfWidth);
        Assert.True(
            double.Hypot(run.End.X - landscape.DefaultStart.X, run.End.Y - landscape.DefaultStart.Y) > 0.05 * landscape.HalfWidth);
    }

    [Fact]
    public void A_run_ends_before_it_leaves_the_square()
    {
        Landscape landscape = Landscape.All.Single(static own => own.Name == "sharp-flat");
        LandscapeRun run = Run(landscape, "sgd", 1000, 50);
        Assert.True(run.HasLeft);
        Assert.InRange(run.Steps, 0, 49);
        Assert.Equal(run.Steps + 1, run.GradientEvaluations);
        Assert.All(run.Points, point => Assert.True(landscape.Contains(point.X, point.Y)));
    }

    /// <summary>With it, sophia takes Newton's steps near a minimum; without, steps of one size to and fro.</summary>
    [Fact]
    public void Sophia_is_given_the_hessian()
    {
        Landscape landscape = Landscape.All.Single(static own => own.Name == "sharp-flat");
        LandscapeRun run = Run(landscape, "sophia", 0.01, 2000);
        Assert.Equal(0, run.End.Loss, 1e-6); // weight decay leaves 5e-7
        Assert.InRange(Run(landscape, "lion", 0.01, 2000).End.Loss, 1e-5, 1);
    }

    [Fact]
    public void A_dimer_evaluates_more_gradients()
    {
        Landscape landscape = Landscape.All.Single(static own => own.Name == "sharp-flat");
        LandscapeRun run = Run(landscape, "deo-adam", 0.01, 100);
        Assert.Equal(100, run.Steps);
        Assert.InRange(run.GradientEvaluations, 101, 300);
    }

    private static LandscapeRun Run(Landscape landscape, string optimizer, double rate, int steps, double noise = 0)
    {
        OptimizerRecipe recipe = OptimizerRecipe.All.Single(own => own.Name == optimizer);
        Assert.Equal(optimizer == "sgd" ? 0.9 : 0, recipe.Preset.HasHyperparameter("momentum") ? recipe.Preset["momentum"] : 0);
        using LandscapeRunner runner = new(landscape, landscape.DefaultStart, noise, seed: 5);
        return runner.Run(recipe, rate, steps, CancellationToken.None);
    }
}
