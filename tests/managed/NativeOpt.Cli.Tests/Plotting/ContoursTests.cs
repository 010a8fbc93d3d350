using NativeOpt.Cli.Plotting;
using Xunit;

namespace NativeOpt.Cli.Tests.Plotting;

/// <summary>Contours are where a function has the level.</summary>
public sealed class ContoursTests
{
    [Fact]
    public void A_cone_has_a_circle_that_is_closed()
    {
        List<(double X, double Y)> circle = Assert.Single(
            Contours.At(Grid(21, static (x, y) => double.Hypot(x - 10, y - 10)), 6.5));
        Assert.Equal(circle[0], circle[^1]);
        Assert.True(circle.Count > 30);
        Assert.All(circle, static point => Assert.Equal(6.5, double.Hypot(point.X - 10, point.Y - 10), 0.03));
    }

    [Fact]
    public void A_plane_has_a_straight_line_from_border_to_border()
    {
        List<(double X, double Y)> line = Assert.Single(Contours.At(Grid(5, static (x, y) => x + (2 * y)), 5));
        Assert.All(line, static point => Assert.Equal(5, point.X + (2 * point.Y), 1e-12));
        Assert.Equal([(0, 2.5), (4, 0.5)], new[] { line[0], line[^1] }.Order());
    }

    [Fact]
    public void Rings_and_what_the_border_cuts_are_lines_of_their_own()
    {
        // Two hills: one whole, one half.
        List<List<(double X, double Y)>> lines = Contours.At(
            Grid(41, static (x, y) => Math.Max(10 - double.Hypot(x - 12, y - 20), 10 - double.Hypot(x - 40, y - 20))), 4.5);
        Assert.Equal(2, lines.Count);
        Assert.Single(lines, static line => line[0] == line[^1]);
    }

    [Fact]
    public void A_cell_that_is_crossed_twice_has_two_lines()
    {
        double[,] values = { { 1, 0 }, { 0, 1 } };
        foreach (double level in new[] { 0.4, 0.6 })
        {
            List<List<(double X, double Y)>> lines = Contours.At(values, level);
            Assert.Equal(2, lines.Count);

            // A line cuts off the corner that the middle is not like.
            bool cutsOffFirst = lines.Exists(static line => line.TrueForAll(static point => point.X + point.Y < 1));
            Assert.Equal(level > 0.5, cutsOffFirst);
        }
    }

    [Fact]
    public void Where_no_value_is_above_the_level_there_is_nothing() =>
        Assert.Empty(Contours.At(Grid(4, static (x, y) => x), 3.5));

    private static double[,] Grid(int size, Func<double, double, double> function)
    {
        double[,] values = new double[size, size];
        for (int row = 0; row < size; row++)
        {
            for (int column = 0; column < size; column++)
            {
                values[row, column] = function(column, row);
            }
        }

        return values;
    }
}
