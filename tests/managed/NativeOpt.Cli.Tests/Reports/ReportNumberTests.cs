using NativeOpt.Cli.Reports;
using Xunit;

namespace NativeOpt.Cli.Tests.Reports;

public sealed class ReportNumberTests
{
    [Theory]
    [InlineData("loss", 1.84099, "1.841")]
    [InlineData("loss", -0.51, "−0.51")]
    [InlineData("loss", 0.30000000000000004, "0.3")]
    [InlineData("loss", 12345.67, "12,346")]
    [InlineData("learning_rate", 0.0001, "0.0001")]
    [InlineData("learning_rate", 0.00008, "8e−5")]
    [InlineData("loss", 1.5e30, "1.5e30")]
    [InlineData("loss", 0, "0")]
    [InlineData("seconds", 0, "0 s")]
    [InlineData("seconds", 0.001234, "1.23 ms")]
    [InlineData("floor_seconds", 2e-10, "0.2 ns")]
    [InlineData("seconds", 12.345, "12.3 s")]
    [InlineData("seconds", 119.9, "120 s")]
    [InlineData("seconds", 125.4, "2 min 5 s")]
    [InlineData("seconds", 7322, "2 h 2 min")]
    public void Of_fractions_four_digits_count(string name, double value, string expected) =>
        Assert.Equal(expected, ReportNumber.Format(name, value, isWhole: false));

    [Theory]
    [InlineData("steps", 1234567, "1,234,567")]
    [InlineData("seed", 1234567, "1234567")]
    [InlineData("optimizer_bytes", 1000, "1,000 bytes")]
    [InlineData("bytes", 1536, "1.5 KiB")]
    [InlineData("bytes", 3221225472, "3 GiB")]
    public void Whole_numbers_keep_their_digits_unless_they_are_bytes(string name, double value, string expected) =>
        Assert.Equal(expected, ReportNumber.Format(name, value, isWhole: true));

    [Fact]
    public void Numbers_of_a_column_have_as_many_decimals()
    {
        double[] rates = [0.1, 0.003, 0];
        Assert.Equal(["0.100", "0.003", "0.000"], rates.Select(ReportNumber.FormatOf("rate", rates, areWhole: false)));
        double[] far = [1e-7, 1];
        Assert.Equal(["1e−7", "1"], far.Select(ReportNumber.FormatOf("rate", far, areWhole: false)));
        Assert.Equal(["2,000"], new double[] { 2000 }.Select(ReportNumber.FormatOf("steps", [2000], areWhole: true)));
    }

    [Theory]
    [InlineData(-0.5104, 0.031, "−0.510")]
    [InlineData(400123, 9000, "400,123")]
    [InlineData(0.5, 0, "0.5000")]
    [InlineData(0.5, double.NaN, "0.5000")]
    public void A_spread_says_which_digits_count(double value, double spread, string expected) =>
        Assert.Equal(expected, ReportNumber.WithSpread(spread)(value));
}
