namespace NativeOpt.Cli.Plotting;

/// <summary>
/// Lines of equal value over a grid, by marching squares: straight across each cell, between points on its sides that are found by
/// linear interpolation. Where a cell could be crossed in two ways, the mean of its corners decides.
/// </summary>
internal static class Contours
{
    /// <summary>The lines on which the values are a level; closed ones end where they begin.</summary>
    /// <param name="values">The values by row and column, all of them finite.</param>
    /// <param name="level">The level.</param>
    /// <returns>The points of each line: X counts columns from 0, Y rows.</returns>
    public static List<List<(double X, double Y)>> At(double[,] values, double level)
    {
        Dictionary<Side, List<Side>> neighbours = [];
        for (int row = 0; row + 1 < values.GetLength(0); row++)
        {
            for (int column = 0; column + 1 < values.GetLength(1); column++)
            {
                CrossCell(values, level, row, column, neighbours);
            }
        }

        // From the border first, so that what is left begins and ends at the same side.
        List<List<(double X, double Y)>> lines = [];
        HashSet<Side> visited = [];
        foreach (Side start in neighbours.Keys.OrderBy(side => neighbours[side].Count))
        {
            if (visited.Add(start))
            {
                lines.Add(Follow(start, neighbours, visited).ConvertAll(side => side.Crossing(values, level)));
            }
        }

        return lines;
    }

    private static void CrossCell(double[,] values, double level, int row, int column, Dictionary<Side, List<Side>> neighbours)
    {
        // In the order in which one meets them on a walk around the cell, beginning at its first corner.
        Side[] sides =
        [
            new(row, column, IsVertical: false), new(row, column + 1, IsVertical: true),
            new(row + 1, column, IsVertical: false), new(row, column, IsVertical: true),
        ];
        Side[] crossed = Array.FindAll(sides, side => side.IsCrossed(values, level));
        if (crossed.Length == 4)
        {
            double mean = (values[row, column] + values[row, column + 1] + values[row + 1, column] + values[row + 1, column + 1]) / 4;
            bool isFirstCornerCutOff = (mean >= level) != (values[row, column] >= level);
            Join(crossed[0], crossed[isFirstCornerCutOff ? 3 : 1]);
            Join(crossed[2], crossed[isFirstCornerCutOff ? 1 : 3]);
        }
        else if (crossed.Length == 2)
        {
            Join(crossed[0], crossed[1]);
        }

        void Join(Side one, Side other)
        {
            Of(one).Add(other);
            Of(other).Add(one);
        }

        List<Side> Of(Side side) => neighbours.TryGetValue(side, out List<Side>? own) ? own : neighbours[side] = [];
    }

    private static List<Side> Follow(Side start, Dictionary<Side, List<Side>> neighbours, HashSet<Side> visited)
    {
        List<Side> line = [start];
        for (int next = 0; next >= 0;)
        {
            List<Side> nearby = neighbours[line[^1]];
            next = nearby.FindIndex(visited.Add);
            if (next >= 0)
            {
                line.Add(nearby[next]);
            }
        }

        if (line.Count > 2 && neighbours[line[^1]].Contains(start))
        {
            line.Add(start);
        }

        return line;
    }

    /// <summary>The side of a cell from the grid's point in a row and a column to the next one in that row, or, if it is vertical, in
    /// that column.</summary>
    private readonly record struct Side(int Row, int Column, bool IsVertical)
    {
        public bool IsCrossed(double[,] values, double level) => (First(values) >= level) != (Last(values) >= level);

        public (double X, double Y) Crossing(double[,] values, double level)
        {
            double part = (level - First(values)) / (Last(values) - First(values));
            return IsVertical ? (Column, Row + part) : (Column + part, Row);
        }

        private double First(double[,] values) => values[Row, Column];

        private double Last(double[,] values) => IsVertical ? values[Row + 1, Column] : values[Row, Column + 1];
    }
}
