using System.Runtime.InteropServices;

namespace NativeOpt;

/// <summary>
/// Finds spikes in a series of losses. A spike begins at a loss that is not finite, or that is above m + k·1.4826·MAD, where m is the
/// median of the last losses before it, as many as the window, and MAD the median of their distances from m. It lasts until a loss
/// is not above that bound any more. Losses of a spike do not enter the window, so that the bound stays while it lasts; if it lasts
/// for a whole window, the loss has changed its level, and the window begins anew.
/// </summary>
/// <remarks>1.4826·MAD is the standard deviation where losses are normally distributed; unlike that, few outliers do not move it.
/// Before the window is full, only losses that are not finite are spikes.</remarks>
internal sealed class LossSpikes
{
    private const double DeviationsPerMad = 1.4826;

    private readonly List<double> _losses = [];

    // What is sorted: steps allocate nothing once the window is full.
    private double[] _sorted = [];

    /// <summary>The losses of the window, oldest first.</summary>
    public IReadOnlyList<double> Losses => _losses;

    /// <summary>The losses so far of the spike under way; 0 if there is none.</summary>
    public int Length { get; private set; }

    /// <summary>Takes the next loss.</summary>
    /// <param name="loss">The loss.</param>
    /// <param name="window">How many losses the window has, at least 2.</param>
    /// <param name="threshold">k, above 0.</param>
    /// <returns>Whether a spike begins with it.</returns>
    public bool Add(double loss, int window, double threshold)
    {
        if (_losses.Count > window)
        {
            _losses.RemoveRange(0, _losses.Count - window); // The window has become smaller.
        }

        if (!double.IsFinite(loss) || (_losses.Count == window && loss > Bound(threshold)))
        {
            Length++;
            bool begins = Length == 1;
            if (Length >= window)
            {
                _losses.Clear();
                Length = 0;
            }

            return begins;
        }

        Length = 0;
        if (_losses.Count == window)
        {
            _losses.RemoveAt(0);
        }

        _losses.Add(loss);
        return false;
    }

    /// <summary>Goes on from a state that was saved.</summary>
    public void Restore(IEnumerable<double> losses, int length)
    {
        _losses.Clear();
        _losses.AddRange(losses);
        Length = length;
    }

    private double Bound(double threshold)
    {
        if (_sorted.Length < _losses.Count)
        {
            _sorted = new double[_losses.Count];
        }

        Span<double> values = _sorted.AsSpan(0, _losses.Count);
        CollectionsMarshal.AsSpan(_losses).CopyTo(values);
        double median = Median(values);
        foreach (ref double value in values)
        {
            value = Math.Abs(value - median);
        }

        return median + (threshold * DeviationsPerMad * Median(values));
    }

    private static double Median(Span<double> values)
    {
        values.Sort();
        return (values[(values.Length - 1) / 2] + values[values.Length / 2]) / 2;
    }
}
