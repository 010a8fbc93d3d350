using NativeOpt.Cli.Saddles;
using Xunit;

namespace NativeOpt.Cli.Tests.Saddles;

/// <summary>The problems are what they say: their gradients, saddle points, eigenvectors and depths.</summary>
public sealed class SaddleProblemTests
{
    public static TheoryData<string> Names => new(SaddleProblem.All.Select(static problem => problem.Name));

    [Theory]
    [MemberData(nameof(Names))]
    public void Gradients_are_those_of_the_loss(string name)
    {
        SaddleProblem problem = Find(name);
        for (ulong seed = 0; seed < 5; seed++)
        {
            // Somewhere, not only near the saddle point, and in some direction.
            double[] point = Add(problem.Saddle, 50, Direction(problem, seed));
            double[] direction = Direction(problem, seed + 100);
            const double step = 1e-4;
            double expected =
                (Loss(problem, Add(point, step, direction)) - Loss(problem, Add(point, -step, direction))) / (2 * step);
            double actual = Dense.Dot(Gradient(problem, point), direction);
            Assert.Equal(expected, actual, 1e-6 * Math.Max(1, Math.Abs(expected)));
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void The_saddle_is_a_critical_point(string name)
    {
        SaddleProblem problem = Find(name);
        Assert.Equal(problem.Dimension, problem.Saddle.Length);
        Assert.True(Norm(Gradient(problem, problem.Saddle)) < 1e-12);
        Assert.Equal(problem.SaddleLoss, Loss(problem, problem.Saddle), 1e-12);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void The_smallest_curvature_is_the_smallest(string name)
    {
        // Power iteration on shift - H, of which the smallest eigenvalue of H is the largest.
        SaddleProblem problem = Find(name);
        const double shift = QuadraticProblem.LargestCurvature;
        double[] vector = Direction(problem, 3);
        double largest = 0;
        for (int i = 0; i < 300; i++)
        {
            double[] next = Add(Times(vector, shift), -1, HessianTimes(problem, vector));
            largest = Norm(next);
            vector = Times(next, 1 / largest);
        }

        Assert.Equal(problem.SmallestCurvature, shift - largest, 1e-4);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void The_escape_direction_is_its_eigenvector_and_leads_to_the_depth(string name)
    {
        SaddleProblem problem = Find(name);
        if (problem.EscapeDirection.IsEmpty)
        {
            Assert.Equal(0, problem.SmallestCurvature);
            return;
        }

        double[] direction = problem.EscapeDirection.ToArray();
        Assert.True(problem.SmallestCurvature < 0);
        Assert.Equal(1, Norm(direction), 1e-12);
        double[] image = HessianTimes(problem, direction);
        Assert.True(Norm(Add(image, -problem.SmallestCurvature, direction)) < 1e-6);

        double lowest = Enumerable.Range(0, 4000).Min(i => Loss(problem, Add(problem.Saddle, i * 1e-3, direction)));
        Assert.Equal(problem.SaddleLoss - problem.Depth, lowest, 1e-5);
        Assert.Equal((problem.SaddleLoss + lowest) / 2, problem.Goal, 1e-5);
    }

    [Fact]
    public void The_monkey_saddle_is_degenerate_and_has_three_valleys()
    {
        SaddleProblem monkey = Find("monkey");
        Assert.True(Norm(HessianTimes(monkey, [0.6, 0.8])) < 1e-3);
        Assert.Contains("degenerate", monkey.Description, StringComparison.Ordinal);
        foreach (double angle in new[] { Math.PI / 3, Math.PI, -Math.PI / 3 })
        {
            double[] bottom = [3 * Math.Cos(angle), 3 * Math.Sin(angle)];
            Assert.Equal(-monkey.Depth, Loss(monkey, bottom), 1e-12);
            Assert.True(Norm(Gradient(monkey, bottom)) < 1e-12);
        }
    }

    [Fact]
    public void The_quadratic_has_no_diagonal_hessian()
    {
        // Its eigenvectors look like random ones: no element is large, and they do not have one size either.
        double[] elements = [.. Find("quadratic").EscapeDirection.ToArray().Select(Math.Abs)];
        Assert.True(elements.Max() < 0.2);
        Assert.InRange(elements.Count(static element => element < 1 / 32.0), 600, 750); // 68% of normal numbers
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Starts_are_near_the_saddle_and_the_same_for_a_seed(string name)
    {
        SaddleProblem problem = Find(name);
        double[] start = problem.Start(7, 2);
        Assert.Equal(problem.StartDistance, Norm(Add(start, -1, problem.Saddle)), 1e-12);
        Assert.Equal(start, problem.Start(7, 2));
        Assert.NotEqual(start, problem.Start(7, 3));
        Assert.NotEqual(start, problem.Start(8, 2));
    }

    [Fact]
    public void Products_of_matrices_are_right()
    {
        // 2 x 3 and 3 x 5, small enough to write the sums out.
        double[] a = [1, 2, 3, 4, 5, 6];
        double[] b = [.. Enumerable.Range(1, 15).Select(static i => (double)i)];
        double[] expected = new double[10];
        for (int i = 0; i < 10; i++)
        {
            expected[i] = 100 + Enumerable.Range(0, 3).Sum(k => a[(i / 5 * 3) + k] * b[(k * 5) + (i % 5)]);
        }

        double[] product = Enumerable.Repeat(100.0, 10).ToArray();
        Dense.AddProduct(a, b, product, 3, 5);
        Assert.Equal(expected, product);

        double[] transposed = Enumerable.Repeat(100.0, 10).ToArray();
        Dense.AddTransposedProduct([1, 4, 2, 5, 3, 6], b, transposed, 2, 5);
        Assert.Equal(expected, transposed);

        double[] bTransposed = [.. Enumerable.Range(0, 15).Select(i => b[(i % 3 * 5) + (i / 3)])];
        double[] withTransposed = Enumerable.Repeat(100.0, 10).ToArray();
        Dense.AddProductTransposed(a, bTransposed, withTransposed, 3);
        Assert.Equal(expected, withTransposed);
    }

    internal static SaddleProblem Find(string name) => SaddleProblem.All.Single(problem => problem.Name == name);

    // From a start's distance to a length of 1, or of 50 times a start's distance in the first test.
    private static double[] Direction(SaddleProblem problem, ulong seed) =>
        Times(Add(problem.Start(seed, 0), -1, problem.Saddle), 1 / problem.StartDistance);

    private static double Loss(SaddleProblem problem, ReadOnlySpan<double> point) =>
        problem.Evaluate(point, new double[problem.Dimension]);

    private static double[] Gradient(SaddleProblem problem, ReadOnlySpan<double> point)
    {
        double[] gradient = new double[problem.Dimension];
        problem.Evaluate(point, gradient);
        return gradient;
    }

    private static double[] HessianTimes(SaddleProblem problem, double[] vector)
    {
        const double step = 1e-5;
        double[] ahead = Gradient(problem, Add(problem.Saddle, step, vector));
        double[] behind = Gradient(problem, Add(problem.Saddle, -step, vector));
        return Times(Add(ahead, -1, behind), 1 / (2 * step));
    }

    private static double[] Add(ReadOnlySpan<double> x, double factor, ReadOnlySpan<double> y)
    {
        double[] sum = x.ToArray();
        Dense.Add(factor, y, sum);
        return sum;
    }

    private static double[] Times(double[] x, double factor) => [.. x.Select(element => factor * element)];

    private static double Norm(double[] x) => Math.Sqrt(Dense.Dot(x, x));
}
