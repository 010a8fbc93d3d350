using NativeOpt.Cli.Training;
using Xunit;

namespace NativeOpt.Cli.Tests.Training;

public sealed class BFloat16Tests
{
    [Theory]
    [InlineData(0x3F800000, 0x3F80)]
    [InlineData(0x3F807FFF, 0x3F80)]
    [InlineData(0x3F808000, 0x3F80)] // a tie goes to the even one, down
    [InlineData(0x3F808001, 0x3F81)]
    [InlineData(0x3F818000, 0x3F82)] // or up
    [InlineData(0x3FFFFFFF, 0x4000)]
    [InlineData(0x80000000, 0x8000)]
    [InlineData(0xBF808001, 0xBF81)]
    [InlineData(0x00000001, 0x0000)]
    [InlineData(0x7F7FFFFF, 0x7F80)] // beyond the largest one: infinity
    [InlineData(0xFF800000, 0xFF80)]
    [InlineData(0x7F800001, 0x7FC0)] // a NaN that the upper half alone would make an infinity
    [InlineData(0xFFFFFFFF, 0xFFFF)]
    public void Rounds_to_nearest(uint bits, int expected)
    {
        ushort[] rounded = new ushort[1];
        BFloat16.Round([BitConverter.UInt32BitsToSingle(bits)], rounded);
        Assert.Equal(expected, rounded[0]);
    }
}
