using NativeOpt.Cli.Benchmarks;
using NativeOpt.Cli.Shapes;
using Xunit;

namespace NativeOpt.Cli.Tests.Benchmarks;

/// <summary>The bytes that a step moves, against numbers counted by hand.</summary>
public sealed class StepTrafficTests
{
    [Theory]
    [InlineData("sgd", 12)]
    [InlineData("sgd-momentum", 20)]
    [InlineData("adam", 28)]
    [InlineData("adam-amsgrad", 36)]
    [InlineData("adamw", 28)]
    [InlineData("invadam", 28)]
    [InlineData("dualadam", 28)]
    [InlineData("deo-sgd-cached", 8 + 16)]
    [InlineData("deo-sgd-momentum-update", 12 + 32)]
    [InlineData("deo-adam-cached", 8 + 32)]
    [InlineData("deo-adam-update", 12 + 40)]
    [InlineData("deo-dualadam-cached", 8 + 32)]
    [InlineData("deo-dualadam-update", 12 + 40)]
    [InlineData("deo-adam-amsgrad-update", 12 + 48)]
    [InlineData("deo-displace", 24)]
    public void Of_float32(string rule, double bytes) => Assert.Equal(bytes, Case(rule).Traffic.BytesPerElement);

    // Parameter, gradient, states; what a master has in place of the parameter's read.
    [Theory]
    [InlineData("sgd", DType.BFloat16, MasterWeights.None, DType.Float32, 2 + 2 + 2)]
    [InlineData("adam", DType.BFloat16, MasterWeights.None, DType.Float32, 2 + 2 + 2 + 16)]
    [InlineData("adam", DType.Float16, MasterWeights.None, DType.BFloat16, 2 + 2 + 2 + 8)]
    [InlineData("adam", DType.BFloat16, MasterWeights.Remainder, DType.Float32, 26)]
    [InlineData("adam", DType.BFloat16, MasterWeights.Remainder, DType.BFloat16, 18)]
    [InlineData("adam", DType.Float16, MasterWeights.Float32, DType.Float32, 2 + 8 + 2 + 16)]
    [InlineData("adam", DType.Float32, MasterWeights.None, DType.BFloat16, 12 + 8)]
    [InlineData("deo-adam-cached", DType.BFloat16, MasterWeights.None, DType.Float32, 2 + 4 + 4 + 2 + 4 + 16)]
    [InlineData("deo-displace", DType.BFloat16, MasterWeights.None, DType.Float32, 5 * 2 + 4)]
    public void Of_other_types(string rule, DType type, MasterWeights master, DType states, double bytes)
    {
        BenchCase row = Case(rule) with { DType = type, MasterWeights = master, StateType = states };
        Assert.Equal(bytes, row.Traffic.BytesPerElement);
    }

    [Fact]
    public void Float32_masters_of_an_update_stand_for_the_backup()
    {
        BenchCase row = Case("deo-adam-update") with { DType = DType.BFloat16, MasterWeights = MasterWeights.Float32 };
        Assert.Equal((2 + 2 + 4) + (2 + 2 + 2 + 8 + 16 + 8), row.Traffic.BytesPerElement);
    }

    // Bytes of all elements: those of parameters and gradients, and what is read and written of two moments: a byte for each
    // element and 4 for each block of 256, begun ones too; 4 for each element in tensors of fewer than 4096.
    [Theory]
    [InlineData("adam", "1x4096", (12 * 4096) + (4 * (4096 + (16 * 4))))]
    [InlineData("adam", "1x4097", (12 * 4097) + (4 * (4097 + (17 * 4))))]
    [InlineData("adam", "1x4095", 28 * 4095)]
    [InlineData("adam", "2x100,1x8192", (28 * 200) + (12 * 8192) + (4 * (8192 + (32 * 4))))]
    [InlineData("sgd", "1x4096", 12 * 4096)]
    [InlineData("sgd-momentum", "2x4096", (12 * 8192) + (2 * (8192 + (32 * 4))))]
    [InlineData("adam-amsgrad", "1x4096", (12 * 4096) + (6 * (4096 + (16 * 4))))]
    [InlineData("deo-adam-update", "1x4096", ((12 + 24) * 4096) + (4 * (4096 + (16 * 4))))]
    [InlineData("deo-displace", "1x4096", 24 * 4096)]
    public void States_of_8_bits_have_a_scale_for_each_block_of_256(string rule, string shape, long bytes)
    {
        BenchCase row = Case(rule) with { StateType = DType.Dynamic8, Shape = ModelShape.TryParse(shape)! };
        Assert.Equal(bytes, row.Traffic.BytesPerElement * row.Shape.ElementCount, 1e-6);
        Assert.All(
            row.TensorBytes,
            role => Assert.Equal(row.ElementBytes[role.Key] * row.Shape.ElementCount, role.Value.Sum(), 1e-6));
    }

    [Theory]
    [InlineData(DType.BFloat16, MasterWeights.Remainder, 2 + 2 + 2 + 4)]
    [InlineData(DType.BFloat16, MasterWeights.Float32, 2 + 2 + 8)]
    public void Only_states_are_of_8_bits(DType type, MasterWeights master, int others)
    {
        BenchCase row = Case("adam") with
        {
            DType = type,
            MasterWeights = master,
            StateType = DType.Dynamic8,
            Shape = ModelShape.TryParse("1x8192")!,
        };
        Assert.Equal(others + (4 * (1 + (4 / 256.0))), row.Traffic.BytesPerElement);
    }

    [Fact]
    public void Every_rule_has_streams_of_buffers_that_there_are()
    {
        foreach (BenchRule rule in BenchRule.All)
        {
            BenchCase row = Case(rule.Name);
            Assert.All(
                row.Traffic.Passes.SelectMany(static pass => pass), stream =>
                {
                    Assert.Equal(row.ElementBytes[stream.Role], stream.Bytes);
                    Assert.True(stream.Reads || stream.Writes);
                });
            Assert.InRange(row.MemoryBytes, (long)(8 * row.Shape.ElementCount), (long)(80 * row.Shape.ElementCount));

            // Parameter and states are read and written, the gradient is read; a dimer moves more.
            int states = row.Options.GetStates().Count;
            Assert.Equal(rule.Work == BenchWork.Step ? 12 + (8 * states) : row.Traffic.BytesPerElement, row.Traffic.BytesPerElement);
        }
    }

    private static BenchCase Case(string rule) =>
        new(BenchRule.All.Single(one => one.Name == rule), ModelShape.TryParse("2x100")!);
}
