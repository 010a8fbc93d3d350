using System.Globalization;
using System.Text;

namespace NativeOpt.Cli.Plotting;

/// <summary>One line of a <see cref="LineChart"/>.</summary>
/// <param name="Name">What the legend says.</param>
/// <param name="Points">The points in order. Where one is not finite, the line is interrupted.</param>
/// <param name="Color">An index into the palette; series of one optimizer share one.</param>
/// <param name="Dashed">True for a lighter, dashed line, such as the training loss beside the validation loss.</param>
internal sealed record LineSeries(
    string Name, IReadOnlyList<(double X, double Y)> Points, int Color, bool Dashed = false);

/// <summary>A labelled horizontal line across a <see cref="LineChart"/>.</summary>
internal sealed record ReferenceLine(string Label, double Y);

/// <summary>
/// Draws lines into an SVG picture that needs nothing else: no library to write it, no font or style sheet to show it.
/// </summary>
internal sealed class LineChart
{
    private const double Width = 820;
    private const double Height = 480;
    private const double Left = 76;
    private const double Right = 28;
    private const double Top = 56;
    private const double Bottom = 60;
    private const double LegendRow = 20;
    private const double CharacterWidth = 6.7; // of the 12 px font, about; SVG cannot be asked
    private const double SwatchWidth = 34;
    private const double LegendGap = 22;

    private readonly List<LineSeries> _series = [];
    private readonly List<ReferenceLine> _references = [];

    /// <summary>Creates an empty chart.</summary>
    public LineChart(string title, string xLabel, string yLabel)
    {
        (Title, XLabel, YLabel) = (title, xLabel, yLabel);
    }

    /// <summary>The heading.</summary>
    public string Title { get; }

    /// <summary>What the horizontal axis shows.</summary>
    public string XLabel { get; }

    /// <summary>What the vertical axis shows.</summary>
    public string YLabel { get; }

    /// <summary>Whether the horizontal axis is logarithmic. Where a point is not above 0, the line is interrupted.</summary>
    public bool IsXLogarithmic { get; init; }

    /// <summary>Whether the vertical axis is logarithmic. Where a point is not above 0, the line is interrupted.</summary>
    public bool IsYLogarithmic { get; init; }

    /// <summary>Adds a line in the next colour.</summary>
    public void Add(string name, IReadOnlyList<(double X, double Y)> points, bool dashed = false) =>
        Add(new LineSeries(name, points, _series.Count, dashed));

    /// <summary>Adds a line.</summary>
    public void Add(LineSeries series) => _series.Add(series);

    /// <summary>Adds a horizontal line with a label, such as a bar that a loss should stay below.</summary>
    public void AddReference(string label, double y) => _references.Add(new ReferenceLine(label, y));

    /// <summary>Writes the picture to a file.</summary>
    public void Save(string path) => File.WriteAllText(path, ToSvg());

    /// <summary>One picture of several charts, from top to bottom.</summary>
    public static string Stack(IReadOnlyList<LineChart> charts)
    {
        if (charts.Count == 1)
        {
            return charts[0].ToSvg();
        }

        var svg = new StringBuilder();
        double height = Height * charts.Count;
        Svg.Line(svg, $"""
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {Width} {height}" width="{Width}" height="{height}">
            """);
        for (int i = 0; i < charts.Count; i++)
        {
            Svg.Line(svg, $"""<g transform="translate(0 {i * Height})">""");
            svg.Append(charts[i].ToSvg()).Append("</g>\n");
        }

        Svg.End(svg);
        return svg.ToString();
    }

    /// <summary>The picture.</summary>
    public string ToSvg()
    {
        List<(double X, double Y)> legend = PlaceLegend(out double legendHeight);
        (double X, double Y)[] points = [.. _series.SelectMany(static series => series.Points).Where(IsShown)];
        double[] references = [.. _references.Where(IsShown).Select(static reference => reference.Y)];
        var x = new Axis(points.Select(static point => point.X), Left, Width - Right, 9, IsXLogarithmic);
        var y = new Axis(
            points.Select(static point => point.Y).Concat(references), Height - Bottom, Top + legendHeight, 7,
            IsYLogarithmic);

        var svg = new StringBuilder();
        Svg.Begin(svg, Width, Height, Title);
        Svg.Heading(svg, Left, 30, Title);
        DrawAxes(svg, x, y);
        DrawReferences(svg, y);
        foreach (LineSeries series in _series)
        {
            DrawSeries(svg, series, x, y);
        }

        for (int i = 0; i < _series.Count; i++)
        {
            (double left, double middle) = legend[i];
            Svg.Line(svg, $"""<path d="M{left:0.##} {middle:0.##}h{SwatchWidth - 8}" {Stroke(_series[i])}/>""");
            Svg.Text(svg, left + SwatchWidth, middle + 4, _series[i].Name, "start", Svg.Ink);
        }

        Svg.End(svg);
        return svg.ToString();
    }

    /// <summary>Where each legend entry begins; it wraps as words do.</summary>
    private List<(double X, double Y)> PlaceLegend(out double height)
    {
        var places = new List<(double X, double Y)>();
        double x = Left;
        double y = Top - 4;
        foreach (LineSeries series in _series)
        {
            double width = SwatchWidth + (CharacterWidth * series.Name.Length);
            if (x > Left && x + width > Width - Right)
            {
                x = Left;
                y += LegendRow;
            }

            places.Add((x, y));
            x += width + LegendGap;
        }

        height = _series.Count == 0 ? 0 : y - Top + LegendRow;
        return places;
    }

    private void DrawAxes(StringBuilder svg, Axis x, Axis y)
    {
        foreach (double tick in y.Ticks)
        {
            double at = y.Place(tick);
            Svg.Line(svg, $"""<path d="M{Left} {at:0.##}H{Width - Right}" stroke="#e3e5e8"/>""");
            Svg.Text(svg, Left - 10, at + 4, y.Label(tick), "end", Svg.FaintInk);
        }

        foreach (double tick in x.Ticks)
        {
            double at = x.Place(tick);
            Svg.Line(svg, $"""<path d="M{at:0.##} {Height - Bottom}v5" stroke="{Svg.FaintInk}"/>""");
            Svg.Text(svg, at, Height - Bottom + 20, x.Label(tick), "middle", Svg.FaintInk);
        }

        Svg.Line(svg, $"""<path d="M{Left} {Height - Bottom}H{Width - Right}" stroke="{Svg.FaintInk}"/>""");
        Svg.Text(svg, (Left + Width - Right) / 2, Height - 16, XLabel, "middle", Svg.Ink);
        double middle = (y.Place(y.First) + y.Place(y.Last)) / 2;
        Svg.Text(svg, 20, middle, YLabel, "middle", Svg.Ink, Invariant($"""transform="rotate(-90 20 {middle:0.##})" """));
    }

    private void DrawReferences(StringBuilder svg, Axis y)
    {
        foreach (ReferenceLine reference in _references.Where(IsShown))
        {
            double at = y.Place(reference.Y);
            Svg.Line(svg, $"""
                <path d="M{Left} {at:0.##}H{Width - Right}" stroke="{Svg.FaintInk}"
                  stroke-width="1.2" stroke-dasharray="2 3"/>
                """);

            // The white outline keeps the label legible where a line crosses it.
            Svg.Text(
                svg, Width - Right - 4, at - 6, reference.Label, "end", Svg.FaintInk,
                """stroke="#ffffff" stroke-width="3" paint-order="stroke" """);
        }
    }

    private void DrawSeries(StringBuilder svg, LineSeries series, Axis x, Axis y)
    {
        var path = new StringBuilder();
        for (int i = 0; i < series.Points.Count; i++)
        {
            if (!IsShown(series.Points[i]))
            {
                continue;
            }

            bool begins = i == 0 || !IsShown(series.Points[i - 1]);
            bool ends = i + 1 == series.Points.Count || !IsShown(series.Points[i + 1]);
            path.Append(CultureInfo.InvariantCulture, $"{(begins ? 'M' : 'L')}{x.Place(series.Points[i].X):0.##} ");
            path.Append(CultureInfo.InvariantCulture, $"{y.Place(series.Points[i].Y):0.##}");

            // With round caps, a line of no length shows a point that has no neighbour.
            path.Append(begins && ends ? "h0" : "");
        }

        if (path.Length > 0)
        {
            Svg.Line(svg, $"""<path d="{path}" {Stroke(series)}><title>{Svg.Escape(series.Name)}</title></path>""");
        }
    }

    private static string Stroke(LineSeries series)
    {
        string color = Svg.Color(series.Color);
        string style = series.Dashed
            ? """stroke-width="1.5" stroke-dasharray="5 4" stroke-opacity="0.6" """
            : """stroke-width="2.2" """;
        return $"""fill="none" stroke="{color}" stroke-linejoin="round" stroke-linecap="round" {style}""";
    }

    private static string Invariant(FormattableString text) => FormattableString.Invariant(text);

    private bool IsShown((double X, double Y) point) =>
        Axis.HasPlaceFor(point.X, IsXLogarithmic) && Axis.HasPlaceFor(point.Y, IsYLogarithmic);

    private bool IsShown(ReferenceLine reference) => Axis.HasPlaceFor(reference.Y, IsYLogarithmic);

    /// <summary>
    /// Maps values to positions in the picture, with ticks at multiples of 1, 2 or 5 times a power of ten; on a logarithmic
    /// axis at powers of ten, or where these are few also at 2 and 5 times as much.
    /// </summary>
    internal sealed class Axis
    {
        // Of a power of ten, on a logarithmic axis.
        private static readonly double[] _parts = [1, 2, 5];

        private readonly double _start;
        private readonly double _end;
        private readonly bool _isLogarithmic;
        private readonly int _decimals;

        /// <summary>Creates an axis that shows all values between two positions and has at most
        /// <paramref name="maximumTicks"/> steps. If it is logarithmic, all values must be above 0.</summary>
        public Axis(IEnumerable<double> values, double start, double end, int maximumTicks, bool isLogarithmic = false)
        {
            (_start, _end, _isLogarithmic) = (start, end, isLogarithmic);
            double low = double.PositiveInfinity;
            double high = double.NegativeInfinity;
            foreach (double value in values)
            {
                low = Math.Min(low, value);
                high = Math.Max(high, value);
            }

            if (isLogarithmic)
            {
                Ticks = LogarithmicTicks(low, high, maximumTicks);
                return;
            }

            if (low > high)
            {
                (low, high) = (0, 1);
            }
            else if (high - low <= 1e-9 * Math.Max(Math.Abs(low), Math.Abs(high)) || high == low)
            {
                // A single value: give it room on both sides.
                double margin = low == 0 ? 1 : Math.Abs(low) / 10;
                (low, high) = (low - margin, high + margin);
            }

            double step = NiceStep((high - low) / maximumTicks);
            _decimals = Math.Clamp((int)-Math.Floor(Math.Log10(step) + 1e-9), 0, 15);
            double first = Math.Floor((low / step) + 1e-9);
            double last = Math.Ceiling((high / step) - 1e-9);
            Ticks = [.. Enumerable.Range(0, (int)(last - first) + 1).Select(i => (first + i) * step)];
        }

        /// <summary>The values to mark, in ascending order; they enclose all values.</summary>
        public double[] Ticks { get; }

        /// <summary>The value at the start of the axis.</summary>
        public double First => Ticks[0];

        /// <summary>The value at the end of the axis.</summary>
        public double Last => Ticks[^1];

        /// <summary>Whether a value has a position: no axis has one for infinity, a logarithmic one none for 0 or less.</summary>
        public static bool HasPlaceFor(double value, bool isLogarithmic) =>
            double.IsFinite(value) && (!isLogarithmic || value > 0);

        /// <summary>The position of a value.</summary>
        public double Place(double value) =>
            _start + ((Scaled(value) - Scaled(First)) / (Scaled(Last) - Scaled(First)) * (_end - _start));

        /// <summary>What to write beside a tick: as many decimals as the steps need.</summary>
        public string Label(double tick)
        {
            if (_isLogarithmic)
            {
                string format = tick switch
                {
                    >= 1e12 or < 1e-4 => "0e0",
                    >= 1e9 => "0,,,G",
                    >= 1e6 => "0,,M",
                    >= 1e3 => "0,k",
                    _ => "0.####",
                };
                return tick.ToString(format, CultureInfo.InvariantCulture);
            }

            double largest = Math.Max(Math.Abs(First), Math.Abs(Last));
            return largest is >= 1e7 or < 1e-4
                ? tick.ToString("0.###e0", CultureInfo.InvariantCulture)
                : (tick == 0 ? 0 : tick).ToString("F" + _decimals, CultureInfo.InvariantCulture);
        }

        private double Scaled(double value) => _isLogarithmic ? Math.Log10(value) : value;

        private static double[] LogarithmicTicks(double low, double high, int maximumTicks)
        {
            if (low > high)
            {
                (low, high) = (1, 10);
            }
            else if (high == low)
            {
                (low, high) = (low / 2, high * 2);
            }

            // Each of 1, 2, 5, 10 and so on; or each power of ten, each second one, each third one.
            int power = (int)Math.Floor(Math.Log10(low) + 1e-9);
            for (int stride = 1; ; stride = stride == 1 ? _parts.Length : stride + _parts.Length)
            {
                int first = (int)Math.Floor((double)power * _parts.Length / stride) * stride;
                while (Part(first + stride) <= low * (1 + 1e-9))
                {
                    first += stride;
                }

                int steps = 1;
                while (steps <= maximumTicks && Part(first + (steps * stride)) < high * (1 - 1e-9))
                {
                    steps++;
                }

                if (steps <= maximumTicks)
                {
                    return [.. Enumerable.Range(0, steps + 1).Select(i => Part(first + (i * stride)))];
                }
            }

            static double Part(int i)
            {
                int ofTen = (int)Math.Floor((double)i / _parts.Length);
                return _parts[i - (ofTen * _parts.Length)] * Math.Pow(10, ofTen);
            }
        }

        private static double NiceStep(double atLeast)
        {
            double power = Math.Pow(10, Math.Floor(Math.Log10(atLeast)));
            double[] candidates = [power, 2 * power, 5 * power, 10 * power];
            return candidates.First(step => step >= atLeast * (1 - 1e-9));
        }
    }
}
