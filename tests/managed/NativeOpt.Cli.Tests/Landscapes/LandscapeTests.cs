using NativeOpt.Cli.Landscapes;
using NativeOpt.Cli.Training;
using Xunit;

namespace NativeOpt.Cli.Tests.Landscapes;

/// <summary>Landscapes are what their equations say, and have the gradients and the curvatures of what they are.</summary>
public sealed class LandscapeTests
{
    public static TheoryData<string> Names => [.. Landscape.All.Select(static landscape => landscape.Name)];

    private static Landscape Eggholder => Find("eggholder");

    private static Landscape SharpFlat => Find("sharp-flat");

    [Theory]
    [MemberData(nameof(Names))]
    public void Gradients_are_those_of_the_function(string name)
    {
        Landscape landscape = Find(name);
        double step = 1e-6 * landscape.HalfWidth;
        foreach ((double x, double y) in Points(landscape, 200))
        {
            LandscapeValue value = landscape.Evaluate(x, y);
            double byX = (Loss(landscape, x + step, y) - Loss(landscape, x - step, y)) / (2 * step);
            double byY = (Loss(landscape, x, y + step) - Loss(landscape, x, y - step)) / (2 * step);
            double tolerance = 1e-5 * (landscape.MeanGradient + value.GradientNorm);
            Assert.Equal(byX, value.GradientX, tolerance);
            Assert.Equal(byY, value.GradientY, tolerance);
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Hessians_are_those_of_the_function(string name)
    {
        Landscape landscape = Find(name);
        double step = 1e-4 * landscape.HalfWidth;
        double unit = landscape.MeanGradient / landscape.HalfWidth;
        foreach ((double x, double y) in Points(landscape, 50))
        {
            LandscapeHessian hessian = landscape.Hessian(x, y);
            double xx = (Loss(landscape, x + step, y) - (2 * Loss(landscape, x, y)) + Loss(landscape, x - step, y)) / (step * step);
            double yy = (Loss(landscape, x, y + step) - (2 * Loss(landscape, x, y)) + Loss(landscape, x, y - step)) / (step * step);
            double xy = (Loss(landscape, x + step, y + step) - Loss(landscape, x + step, y - step)
                - Loss(landscape, x - step, y + step) + Loss(landscape, x - step, y - step)) / (4 * step * step);
            double tolerance = 1e-3 * (unit + Math.Abs(xx) + Math.Abs(xy) + Math.Abs(yy));
            Assert.Equal(xx, hessian.XX, tolerance);
            Assert.Equal(xy, hessian.XY, tolerance);
            Assert.Equal(yy, hessian.YY, tolerance);
        }
    }

    [Fact]
    public void Sharpness_is_the_largest_eigenvalue()
    {
        Assert.Equal(3, new LandscapeHessian(3, 0, -5).Sharpness, 1e-12);
        Assert.Equal(6, new LandscapeHessian(2, 2, 5).Sharpness, 1e-12); // and 1
        Assert.Equal(-1, new LandscapeHessian(-1, 0, -1).Sharpness, 1e-12);
    }

    [Fact]
    public void The_eggholder_is_the_one_of_the_literature()
    {
        Assert.Equal(-959.6407, Loss(Eggholder, 512, 404.2319), 1e-4);
        Assert.Equal(-25.4603, Loss(Eggholder, 0, 0), 1e-4);

        // On the cusps there is no gradient; what is taken for it is finite.
        Assert.True(double.IsFinite(Eggholder.Evaluate(0, -47).GradientNorm));
        Assert.True(double.IsFinite(Eggholder.Evaluate(100, 53).GradientNorm));
    }

    [Fact]
    public void The_minima_of_sharp_flat_are_equally_deep_and_20_and_1_sharp()
    {
        foreach ((double x, double sharpness) in new[] { (-1.0, 20.0), (1.0, 1.0) })
        {
            Assert.Equal(0, Loss(SharpFlat, x, 0), 1e-6);
            Assert.Equal(0, SharpFlat.Evaluate(x, 0).GradientNorm, 1e-6);
            Assert.Equal(sharpness, SharpFlat.Hessian(x, 0).Sharpness, 1e-4);
        }

        // A wall is between them.
        Assert.True(Enumerable.Range(0, 100).Max(static i => Loss(SharpFlat, -1 + (i * 0.02), 0)) > 1);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Starts_are_in_the_square(string name)
    {
        Landscape landscape = Find(name);
        Assert.True(landscape.Contains(landscape.DefaultStart.X, landscape.DefaultStart.Y));
        Assert.False(landscape.Contains(0, -1.001 * landscape.HalfWidth));
        Assert.False(landscape.Contains(double.NaN, 0));
    }

    private static Landscape Find(string name) => Landscape.All.Single(landscape => landscape.Name == name);

    private static double Loss(Landscape landscape, double x, double y) => landscape.Evaluate(x, y).Loss;

    // Not near the eggholder's cusps, where differences say nothing.
    private static IEnumerable<(double X, double Y)> Points(Landscape landscape, int count)
    {
        var random = new DeterministicRandom(3);
        for (int i = 0; i < count;)
        {
            double x = landscape.HalfWidth * ((2 * random.NextDouble()) - 1);
            double y = landscape.HalfWidth * ((2 * random.NextDouble()) - 1);
            if (landscape != Eggholder || (Math.Abs((x / 2) + y + 47) > 5 && Math.Abs(x - y - 47) > 5))
            {
                i++;
                yield return (x, y);
            }
        }
    }
}
