using NativeOpt.Cli.Plotting;
using Xunit;

namespace NativeOpt.Cli.Tests.Plotting;

/// <summary>Ticks are round and enclose the values, and values are placed between them.</summary>
public sealed class AxisTests
{
    [Theory]
    [InlineData(0.0, 1000.0, 0.0, 1000.0, "0,200,400,600,800,1000")]
    [InlineData(1.37, 4.61, 1.0, 5.0, "1,2,3,4,5")]
    [InlineData(-0.31, 0.42, -0.4, 0.6, "-0.4,-0.2,0.0,0.2,0.4,0.6")]
    [InlineData(2.0, 2.0, 1.8, 2.2, "1.8,1.9,2.0,2.1,2.2")]
    [InlineData(0.0, 0.0, -1.0, 1.0, "-1.0,-0.5,0.0,0.5,1.0")]
    [InlineData(0.00001, 0.00003, 0.00001, 0.00003, "1e-5,1.5e-5,2e-5,2.5e-5,3e-5")]
    public void TicksAreRoundAndEncloseTheValues(double low, double high, double first, double last, string labels)
    {
        var axis = new Axis([low, high], 0, 100, 5);
        Assert.Equal(labels, string.Join(',', axis.Ticks.Select(axis.Label)));
        Assert.Equal(first, axis.First, 1e-12);
        Assert.Equal(last, axis.Last, 1e-12);
        Assert.Equal(0, axis.Place(axis.First), 1e-9);
        Assert.Equal(100, axis.Place(axis.Last), 1e-9);
    }

    [Theory]
    [InlineData(1e-300, 2e-300)]
    [InlineData(-1e300, 1e300)]
    [InlineData(1, 1.0000000001)]
    [InlineData(0, 123456789)]
    [InlineData(3.3, 97.1)]
    public void TicksAreFewAtAnyScale(double low, double high)
    {
        var axis = new Axis([low, high], 0, 100, 8);
        Assert.InRange(axis.Ticks.Length, 2, 10);
        Assert.True(axis.First <= low && axis.Last >= high);
        Assert.Equal(axis.Ticks.Length, axis.Ticks.Select(axis.Label).Distinct().Count());
    }

    [Theory]
    [InlineData(1.0, 262144.0, "1,10,100,1k,10k,100k,1M")]
    [InlineData(1.0, 1000.0, "1,10,100,1k")]
    [InlineData(0.3, 40.0, "0.2,0.5,1,2,5,10,20,50")]
    [InlineData(0.0001, 0.001, "0.0001,0.0002,0.0005,0.001")]
    [InlineData(2.0, 2.0, "1,2,5")]
    [InlineData(1e-6, 1e12, "1e-6,0.001,1,1k,1M,1G,1e12")]
    public void LogarithmicTicksAreRoundAndEncloseTheValues(double low, double high, string labels)
    {
        var axis = new Axis([high, low], 0, 100, 7, isLogarithmic: true);
        Assert.Equal(labels, string.Join(',', axis.Ticks.Select(axis.Label)));
        Assert.True(axis.First <= low && axis.Last >= high);
        Assert.Equal(0, axis.Place(axis.First), 1e-9);
        Assert.Equal(50, axis.Place(Math.Sqrt(axis.First * axis.Last)), 1e-9);
        Assert.Equal(100, axis.Place(axis.Last), 1e-9);
    }

    [Fact]
    public void ALogarithmicAxisOfNothingHasTicks() =>
        Assert.Equal([1, 2, 5, 10], new Axis([], 0, 100, 7, isLogarithmic: true).Ticks);
}
