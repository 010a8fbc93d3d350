using System.Globalization;
using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Memory;

/// <summary>What is announced is what is allocated, by the byte, and what a process grows by.</summary>
public class OptimizerMemoryTests
{
    private const int Mebibyte = 1 << 20;

    // Whole units of alignment, one more and one less, and none.
    private static readonly int[] Sizes = [16, 0, 17, 31, 32, 1, 1000];

    private static readonly OptimizerOptions[] EveryStates =
    [
        new AdamOptions(), new AdamOptions { Amsgrad = true }, new AdamWOptions(), new AdamWOptions { Amsgrad = true },
        new InvAdamOptions(), new InvAdamOptions { Amsgrad = true }, new DualAdamOptions(),
        new DualAdamOptions { Amsgrad = true }, new SgdOptions(), new SgdOptions { Momentum = 0.9 },
        new SgdOptions { Momentum = 0.9, Nesterov = true }, new RmsPropOptions(), new RmsPropOptions { Momentum = 0.9 },
        new RmsPropOptions { Centered = true }, new RmsPropOptions { Momentum = 0.9, Centered = true }, new RpropOptions(),
        new AsgdOptions(), new MiAdamOptions(), new MiAdamOptions { Order = 2 }, new MiAdamOptions { Order = 3 }, new AdEmaMixOptions(),
    ];

    private static readonly DimerOptions?[] EveryDimer =
    [
        null, new DimerOptions { Scope = DimerScope.PerTensor },
        DimerOptions.Recommended with { RotationsPerUpdate = 2 },
    ];

    public static TheoryData<string> Precisions => [.. Support.Precision.WithDynamic8.Keys];

    public static TheoryData<string> PeakCases => [.. PeakMemory.Cases.Keys];

    [Theory]
    [MemberData(nameof(Precisions))]
    public void Announced_bytes_are_the_allocated_ones(string precisionName)
    {
        Precision precision = Support.Precision.WithDynamic8[precisionName];

        // A float32 tensor among them has no master.
        MixedTensor[] tensors = [.. precision.Tensors(Sizes), new MixedTensor(33, DType.Float32, precision.Gradient)];
        TensorSpec[] specs = [.. tensors.Select(static tensor => new TensorSpec(tensor.Size, tensor.Type, tensor.GradientType))];
        foreach (OptimizerOptions plain in EveryStates)
        {
            foreach (DimerOptions? dimerOptions in EveryDimer)
            {
                OptimizerOptions options = precision.With(plain);
                OptimizerMemory memory = OptimizerMemory.Of(options, specs, dimerOptions);
                using MixedModel model = new(tensors);
                using Optimizer optimizer = Rules.Create(model.Set, options);
                Assert.Equal(0, optimizer.AllocatedBytes);
                long dimerBytes = 0;
                if (dimerOptions is null)
                {
                    optimizer.Step();
                }
                else
                {
                    using DimerOptimizer dimer = new(optimizer, dimerOptions);
                    Assert.Equal(0, dimer.AllocatedBytes);
                    dimer.Step(static () => 1);
                    dimerBytes = dimer.AllocatedBytes;
                    Assert.True(dimerBytes > 0);
                }

                Assert.Equal(memory.TotalBytes, optimizer.AllocatedBytes + dimerBytes);
                Assert.Equal(memory.TotalBytes, memory.Buffers.Sum(static buffer => buffer.Bytes));
                Assert.Equal(tensors.Sum(static tensor => tensor.Size), memory.ElementCount);
                Assert.Equal(model.Parameters.Sum(ElementBytes), memory.ParameterBytes);
                Assert.Equal(model.Gradients.Sum(ElementBytes), memory.GradientBytes);

                // The states by themselves, as the optimizer hands them out, in units of 64 bytes.
                StateRole[] roles = [.. optimizer.StateRoles];
                for (int i = 0; i < roles.Length; i++)
                {
                    long bytes = Enumerable.Range(0, tensors.Length)
                        .Sum(tensor => (ElementBytes(optimizer.GetState(roles[i], tensor)) + 63) / 64 * 64);
                    Assert.Equal(new BufferMemory(roles[i].Name, bytes), memory.Buffers[i]);
                }

                string[] ofDimer = dimerOptions switch
                {
                    null => [],
                    { Angle: RotationAngle.Optimal } => ["direction", "param_backup", "grad_backup", "rotation_direction"],
                    { Angle: RotationAngle.Conjugate } =>
                        ["direction", "param_backup", "grad_backup", "rotation_direction", "grad_change"],
                    _ => ["direction", "param_backup", "grad_backup"],
                };
                Assert.Equal(ofDimer, memory.Buffers.Skip(roles.Length).Select(static buffer => buffer.Role));
            }
        }
    }

    /// <summary>Counted by hand.</summary>
    [Fact]
    public void Bytes_of_a_few_tensors()
    {
        TensorSpec[] tensors = [new(100, DType.BFloat16), new(0, DType.BFloat16), new(7, DType.Float32, DType.BFloat16)];
        OptimizerMemory memory = OptimizerMemory.Of(
            new AdamOptions { Amsgrad = true, MasterWeights = MasterWeights.Remainder, StateType = DType.BFloat16 },
            tensors,
            DimerOptions.Recommended);
        Assert.Equal(
            [
                new("exp_avg", 256 + 64), new("exp_avg_sq", 256 + 64), new("max_exp_avg_sq", 256 + 64),
                new("param_remainder", 256), new("direction", 448 + 64), new("param_backup", 256 + 64),
                new("grad_backup", 256 + 64), new("rotation_direction", 448 + 64),
            ],
            memory.Buffers);
        Assert.Equal((3 * 320) + 256 + 512 + 320 + 320 + 512, memory.TotalBytes);
        Assert.Equal((107, 228, 214), (memory.ElementCount, memory.ParameterBytes, memory.GradientBytes));

        memory = OptimizerMemory.Of(
            new SgdOptions { Momentum = 0.9, MasterWeights = MasterWeights.Float32 }, tensors);
        Assert.Equal([new("momentum_buffer", 448 + 64), new("master_param", 448)], memory.Buffers);
        Assert.Empty(OptimizerMemory.Of(new SgdOptions(), tensors).Buffers);
        Assert.Equal(0, OptimizerMemory.Of(new AdamOptions(), []).TotalBytes);
    }

    /// <summary>Blocks of 256 elements with 4 bytes each, the last one shorter; small tensors in float32.</summary>
    [Fact]
    public void Bytes_of_states_of_8_bits()
    {
        TensorSpec[] tensors = [new(4096), new(4095), new(10_000, DType.BFloat16), new(0), new(257)];
        AdamOptions options = new() { StateType = DType.Dynamic8 };
        const int Large = 4096 + 64;
        const int Odd = 10_000 + 160 + 16; // 40 blocks; 16 to the next multiple of 64
        Assert.Equal(
            [new("exp_avg", Large + 16_384 + Odd + 1088), new("exp_avg_sq", Large + 16_384 + Odd + 1088)],
            OptimizerMemory.Of(options, tensors).Buffers);
        const int All = Large + (4095 + 64 + 1) + Odd + (257 + 8 + 55);
        Assert.Equal(
            [new("exp_avg", All), new("exp_avg_sq", All)],
            OptimizerMemory.Of(options with { MinDynamic8ElementCount = 0 }, tensors).Buffers);
    }

    /// <summary>That of the method's documentation.</summary>
    [Fact]
    public void The_documentations_example_works()
    {
        AdamWOptions options = new() { MasterWeights = MasterWeights.Remainder };
        OptimizerMemory memory = OptimizerMemory.Of(options, [new TensorSpec(1_000_000, DType.BFloat16)]);
        Assert.Equal(10_000_000, memory.TotalBytes);
    }

    [Fact]
    public void A_dimer_with_displaced_gradients_of_the_hosts_keeps_no_backup_of_them()
    {
        MixedTensor[] tensors = [new(16, DType.Float32, DType.BFloat16)];
        using MixedModel model = new(tensors);
        using Adam optimizer = new(model.Set);
        using DimerOptimizer dimer = new(optimizer, DimerOptions.Recommended);
        dimer.SetDisplacedGradients([model.Allocate(16, DType.BFloat16)]);
        dimer.Displace();
        OptimizerMemory memory = OptimizerMemory.Of(
            new AdamOptions(), [new TensorSpec(16, DType.Float32, DType.BFloat16)], DimerOptions.Recommended);
        long backup = memory.Buffers.Single(static buffer => buffer.Role == "grad_backup").Bytes;
        Assert.Equal(64, backup);
        Assert.Equal(memory.TotalBytes - backup, optimizer.AllocatedBytes + dimer.AllocatedBytes);
        dimer.Restore();
    }

    [Fact]
    public void States_of_the_hosts_are_not_counted()
    {
        using MixedModel model = new(new MixedTensor(16, DType.Float32, DType.Float32));
        using Adam optimizer = new(model.Set);
        optimizer.BindState(StateRole.ExpAvg, [model.Allocate(16, DType.Float32)]);
        Assert.Equal(0, optimizer.AllocatedBytes);
        optimizer.Step();
        Assert.Equal(64, optimizer.AllocatedBytes);
    }

    [Fact]
    public void What_no_optimizer_could_have_is_refused()
    {
        AdamOptions remainders = new() { MasterWeights = MasterWeights.Remainder };
        Refuse<ArgumentNullException>("options", null!, new TensorSpec(1));
        Refuse<ArgumentException>("tensor 1 (\"1\") is Float16", remainders, new(1, DType.BFloat16), new(1, DType.Float16));
        Refuse<ArgumentException>("no tensor has 16 bits", remainders, new TensorSpec(1));
        Refuse<ArgumentOutOfRangeException>("Beta1 is 2", new AdamOptions { Beta1 = 2 }, new TensorSpec(1));
        Refuse<ArgumentOutOfRangeException>("tensors[1] has -1 elements", new AdamOptions(), new(1), new(-1));
        Refuse<ArgumentOutOfRangeException>("at most 2^56", new AdamOptions(), new(1L << 56), new(1));
        Refuse<NotSupportedException>("tensors[0] has element type UInt16", new AdamOptions(), new TensorSpec(1, DType.UInt16));
        Refuse<NotSupportedException>(
            "tensors[0] has element type 0", new AdamOptions(), new TensorSpec(1, DType.Float32, default(DType)));
        Assert.Contains(
            "Interval",
            Assert.Throws<ArgumentOutOfRangeException>(
                () => OptimizerMemory.Of(new AdamOptions(), [], new DimerOptions { Interval = 0 })).Message,
            StringComparison.Ordinal);
        Assert.Equal(8L << 56, OptimizerMemory.Of(new AdamOptions(), [new TensorSpec(1L << 56)]).TotalBytes);

        static void Refuse<T>(string words, OptimizerOptions options, params TensorSpec[] tensors)
            where T : Exception =>
            Assert.Contains(words, Assert.Throws<T>(() => OptimizerMemory.Of(options, tensors)).Message, StringComparison.Ordinal);
    }

    /// <summary>
    /// The peak of a process grows by what is announced, with parameters and gradients, give or take 2 MiB for tables, pages
    /// and the runtime; float32 masters are first copied through pieces of 2 and 4 MiB of the host's memory.
    /// </summary>
    [SkippableTheory]
    [MemberData(nameof(PeakCases))]
    public void The_peak_of_a_process_is_what_was_announced(string name)
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "The peak resident set is read from /proc/self/status, which only Linux has.");
        (int exitCode, string output) = ChildProcess.Run(ChildProcess.DotNet, ["exec", ChildProcess.TestAssembly, "memory", name]);
        Assert.True(exitCode == 0, output);
        long[] bytes = [.. output.Split(' ').Select(static number => long.Parse(number, CultureInfo.InvariantCulture))];
        bool hasMasters = PeakMemory.Cases[name].Options.MasterWeights == MasterWeights.Float32;
        Assert.InRange(bytes[1], bytes[0] - (2 * Mebibyte), bytes[0] + ((hasMasters ? 8 : 2) * Mebibyte));
        Assert.True(bytes[0] >= 48_000_000);
    }

    // Written from the C header.
    private static long ElementBytes(TensorRef tensor) => tensor.DType switch
    {
        DType.Float32 => 4 * tensor.ElementCount,
        DType.Dynamic8 => tensor.ElementCount + (4 * ((tensor.ElementCount + 255) / 256)),
        _ => 2 * tensor.ElementCount,
    };
}
