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
        byte[] actual = layout.NewImage();
        actual.AsSpan().Fill(7);
        comparison.Block("param", layout, layout.NewImage(), actual);
        Assert.Equal(100, comparison.Different);
        Assert.Equal((layout.Length / 4) - 100, comparison.DamagedCanaries);
        Assert.Equal(Comparison.Kept, comparison.Differences.Count(static difference => difference.IsCanary));
        Assert.Equal(
            Enumerable.Range(0, Comparison.Kept),
            comparison.Differences.Where(static difference => !difference.IsCanary).Select(static one => one.Index!.Value));
    }

    [Theory]
    [InlineData(DType.BFloat16, 0x3F80, 0x3F81, false, 1.0)]
    [InlineData(DType.BFloat16, 0x7FC0, 0x7FC1, true, double.NaN)]
    [InlineData(DType.BFloat16, 0x7F80, 0x7FC0, false, double.PositiveInfinity)]
    [InlineData(DType.Float16, 0x3C00, 0x3C01, false, 1.0)]
    [InlineData(DType.Float16, 0x7E00, 0xFE01, true, double.NaN)]
    [InlineData(DType.Float16, 0x0000, 0x8000, false, 0.0)]
    [InlineData(DType.UInt16, 0x7FC0, 0x7FC1, false, 32704.0)] // no number, so no NaN
    public void Bits_of_halves_count(DType type, int expected, int actual, bool areSame, double shown)
    {
        var comparison = new Comparison();
        var layout = new GuardedLayout([2, 3], static _ => 1, _ => type);
        comparison.Block("param", layout, Image(expected), Image(actual));
        Assert.Equal(areSame ? 0 : 1, comparison.Different);
        if (!areSame)
        {
            Difference only = Assert.Single(comparison.Differences);
            Assert.Equal((1, 2, $"0x{expected:x4}", $"0x{actual:x4}"), (only.Tensor, only.Index, only.ExpectedBits, only.ActualBits));
            Assert.Equal(shown, only.Expected);
        }

        byte[] Image(int bits)
        {
            byte[] image = layout.NewImage();
            BitConverter.TryWriteBytes(layout.Tensor(image.AsSpan(), 1)[4..], (ushort)bits);
            return image;
        }
    }

    [Fact]
    public void Scales_and_codes_of_8_bits_count()
    {
        var comparison = new Comparison();
        var layout = new GuardedLayout([300], static _ => 1, static _ => DType.Dynamic8);
        byte[] expected = layout.NewImage(), actual = layout.NewImage();
        Scale(expected, 0, float.NaN);
        Scale(actual, 0, BitConverter.UInt32BitsToSingle(0xFFC12345)); // also NaN
        Scale(expected, 260, 1);
        Scale(actual, 260, 2);
        layout.Tensor(actual.AsSpan(), 0)[4 + 17] = 9;
        layout.Tensor(actual.AsSpan(), 0)[264 + 43] = 200;
        comparison.Block("exp_avg", layout, expected, actual);
        Assert.Equal(3, comparison.Different);
        Assert.Equal(
            [("exp_avg (code)", 17, 9.0, "0x09"), ("exp_avg (scale)", 256, 2.0, "0x40000000"), ("exp_avg (code)", 299, 200.0, "0xc8")],
            comparison.Differences.Select(static one => (one.What, one.Index!.Value, one.Actual, one.ActualBits)));

        void Scale(byte[] image, int at, float value) =>
            BitConverter.TryWriteBytes(layout.Tensor(image.AsSpan(), 0)[at..], value);
    }

    // One number among zeros.
    private static byte[] Image(GuardedLayout layout, float value)
    {
        byte[] image = layout.NewImage();
        BitConverter.TryWriteBytes(layout.Tensor(image.AsSpan(), 1)[8..], value);
        return image;
    }
}
