using Xunit;

namespace NativeOpt.Tests.Dimer;

/// <summary>Spikes in series that were made by hand.</summary>
public class LossSpikesTests
{
    private const int Window = 5;
    private const double Threshold = 3;

    // Median 2, distances 0, 0, 1, 1, 1, so that MAD is 1: the bound is 2 + 3 * 1.4826.
    private static readonly double[] Level = [1, 2, 3, 2, 3];

    [Fact]
    public void A_spike_begins_above_the_bound_and_not_at_it()
    {
        const double bound = 2 + (Threshold * 1.4826);
        Assert.Equal([], Beginnings([.. Level, bound]));
        Assert.Equal([5], Beginnings([.. Level, Math.BitIncrement(bound)]));
        Assert.Equal([5], Beginnings([.. Level, 100]));
    }

    [Fact]
    public void One_spike_counts_once_and_does_not_move_the_bound()
    {
        // Three losses above; the next ones are compared with the level before.
        Assert.Equal([5, 9], Beginnings([.. Level, 100, 50, 30, 2, 7]));
    }

    [Fact]
    public void A_new_level_is_no_spike_for_ever()
    {
        // After a whole window above the bound, the window begins anew with what follows.
        Assert.Equal([5, 15], Beginnings([.. Level, 20, 20, 21, 20, 21, 20, 21, 22, 20, 21, 40]));
    }

    [Fact]
    public void The_first_losses_are_none_unless_they_are_not_finite()
    {
        Assert.Equal([], Beginnings([1, 100, 1, 1]));
        Assert.Equal([1], Beginnings([1, double.NaN, 1, 1]));
        Assert.Equal([0, 3], Beginnings([double.PositiveInfinity, double.NaN, 1, double.NegativeInfinity]));
        Assert.Equal([5], Beginnings([.. Level, double.NaN]));
    }

    [Fact]
    public void Falling_losses_and_normal_noise_have_none()
    {
        Assert.Equal([], Beginnings([.. Enumerable.Range(0, 100).Select(static i => 10.0 / (1 + i))]));

        // Normally distributed losses: at 5 robust standard deviations over 30 losses about one step in ten thousand.
        var random = new Random(1);
        double[] noise =
        [
            .. Enumerable.Range(0, 20_000).Select(_ =>
                Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble())),
        ];
        SpikeActivation usual = new();
        Assert.InRange(Beginnings(noise, usual.Window, usual.Threshold).Length, 0, 20);
    }

    /// <summary>A smaller window forgets the oldest losses; a larger one waits for more.</summary>
    [Fact]
    public void The_window_may_change()
    {
        LossSpikes spikes = new();
        Array.ForEach(Level, loss => Assert.False(spikes.Add(loss, Window, Threshold)));
        Assert.False(spikes.Add(100, Window + 1, Threshold));
        Assert.Equal([.. Level, 100], spikes.Losses);
        Assert.True(spikes.Add(200, 2, 0.1));
        Assert.Equal([3, 100], spikes.Losses);
    }

    private static int[] Beginnings(double[] losses, int window = Window, double threshold = Threshold)
    {
        LossSpikes spikes = new();
        return [.. Enumerable.Range(0, losses.Length).Where(i => spikes.Add(losses[i], window, threshold))];
    }
}
