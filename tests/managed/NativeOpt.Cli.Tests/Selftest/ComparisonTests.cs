using NativeOpt.Cli.Selftest;
using Xunit;

namespace NativeOpt.Cli.Tests.Selftest;

public sealed class ComparisonTests
{
    [Theory]
    [InlineData(1f, 1f, true)]
    [InlineData(0f, -0f, false)]
    [InlineData(1f, 1.0000001f, false)]
    [InlineData(float.NaN, 1f, false)]
    [InlineData(1f, float.NaN, false)]
    [InlineData(float.PositiveInfinity, float.NaN, false)]
    [InlineData(float.PositiveInfinity, float.NegativeInfinity, false)]
    [InlineData(1e-45f, 0f, false)]
    public void Bits_count(float expected, float actual, bool areSame)
    {
        var comparison = new Comparison { Place = ("here", 3, "a call") };
        var layout = new GuardedLayout([2, 3], static _ => 1);
        comparison.Block("exp_avg", layout, Image(layout, expected), Image(layout, actual));
        comparison.Scalar("status.angle", 4, expected, actual);
        Assert.Equal(5, comparison.Compared);
        Assert.Equal(areSame ? 0 : 2, comparison.Different);
        if (!areSame)
        {
            string bits = $"0x{BitConverter.SingleToUInt32Bits(expected):x8}";
            Difference first = comparison.Differences[0];
            Assert.Equal(("here", 3, "a call", "exp_avg"), (first.On, first.Step, first.After, first.What));
            Assert.Equal((1, 2, false), (first.Tensor, first.Index, first.IsCanary));
            Assert.Equal(bits, first.ExpectedBits);
            Assert.Equal(actual, (float)first.Actual);
            Assert.Contains($"exp_avg of tensor 1 at 2 is ", first.ToString(), StringComparison.Ordinal);
            Assert.Contains("status.angle of scope 4 is ", comparison.Differences[1].ToString(), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Payloads_of_NaNs_do_not_count()
    {
        var comparison = new Comparison();
        var layout = new GuardedLayout([2, 3], static _ => 1);
        float other = BitConverter.UInt32BitsToSingle(0xFFC12345);
        comparison.Block("param", layout, Image(layout, float.NaN), Image(layout, other));
        comparison.Scalar("status.curvature", null, double.NaN, BitConverter.UInt64BitsToDouble(0x7FF8000000012345));
        Assert.Equal(0, comparison.Different);
        Assert.Empty(comparison.Differences);
    }

    [Fact]
    public void All_are_counted_and_the_first_of_each_kind_are_kept()
    {
        var comparison = new Comparison();
        var layout = new GuardedLayout([100], static _ => 0);
        uint[] actual = layout.NewImage();
        actual.AsSpan().Fill(7);
        comparison.Block("param", layout, layout.NewImage(), actual);
        Assert.Equal(100, comparison.Different);
        Assert.Equal(layout.Length - 100, comparison.DamagedCanaries);
        Assert.Equal(Comparison.Kept, comparison.Differences.Count(static difference => difference.IsCanary));
        Assert.Equal(
            Enumerable.Range(0, Comparison.Kept),
            comparison.Differences.Where(static difference => !difference.IsCanary).Select(static one => one.Index!.Value));
    }

    // One number among zeros.
    private static uint[] Image(GuardedLayout layout, float value)
    {
        uint[] image = layout.NewImage();
        image[layout.WordOf(1, 2)] = BitConverter.SingleToUInt32Bits(value);
        return image;
    }
}
