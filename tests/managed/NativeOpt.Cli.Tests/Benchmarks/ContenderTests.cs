using System.Runtime.InteropServices;
using NativeOpt.Cli.Benchmarks;
using NativeOpt.Cli.Shapes;
using Xunit;

namespace NativeOpt.Cli.Tests.Benchmarks;

/// <summary>What is timed: each does the work that it stands for.</summary>
[Collection("settings of the process")]
public sealed class ContenderTests
{
    private const int Steps = 7;

    // Tails of every vector, ranges of several threads, and tensors that leave gaps.
    private static readonly ModelShape _shape = ModelShape.TryParse("1x1,3x17,1x40000")!;

    // The steps that are written by hand.
    private static readonly string[] _peers = ["sgd", "sgd-momentum", "adam", "adam-amsgrad", "adamw", "invadam", "dualadam"];

    public static TheoryData<string> Peers => [.. _peers];

    public static TheoryData<string> AllRules => [.. BenchRule.All.Select(static rule => rule.Name)];

    [Theory]
    [MemberData(nameof(Peers))]
    public void A_loop_gives_the_bits_of_nativeopt(string rule)
    {
        float[] expected = ParametersAfterSteps(rule, static (row, buffers) => new OptimizerContender(row, buffers));
        float[] actual = ParametersAfterSteps(rule, static (row, buffers) => new LoopPeer(row.Rule, buffers));
        Assert.Equal(Bits(expected), Bits(actual));
    }

    [Theory]
    [MemberData(nameof(Peers))]
    public void Operations_on_whole_arrays_give_the_same_but_for_rounding(string rule)
    {
        float[] expected = ParametersAfterSteps(rule, static (row, buffers) => new OptimizerContender(row, buffers));
        float[] actual = ParametersAfterSteps(rule, static (row, buffers) => new UnfusedPeer(row.Rule, buffers));
        if (rule is not ("adamw" or "dualadam"))
        {
            Assert.Equal(Bits(expected), Bits(actual));
        }

        for (int i = 0; i < expected.Length; i++)
        {
            Assert.Equal(expected[i], actual[i], 1e-6f);
        }
    }

    [Fact]
    public void A_peer_that_makes_another_step_is_found()
    {
        BenchCase row = Case("adam");
        using var buffers = new BenchBuffers(row);
        using var optimizer = new OptimizerContender(row, buffers);
        var other = new LoopPeer(row.Rule with { Preset = row.Rule.Preset.With("beta2", 0.99) }, buffers);
        BenchFault fault = Assert.Throws<BenchFault>(() => BenchContenders.Check(buffers, optimizer, [other]));
        Assert.StartsWith(
            "loop is not the same step: after 3 of them parameter 0 of tensor 0 is ", fault.Message, StringComparison.Ordinal);
    }

    /// <summary>Every formula that is written by hand is timed beside some rule, and beside no other.</summary>
    [Fact]
    public void Every_step_by_hand_has_its_rule()
    {
        Assert.Equal(
            Enum.GetValues<PeerFormula>().Order(),
            BenchRule.All.Where(static rule => rule.Work == BenchWork.Step)
                .Select(static rule => PeerFormulas.Of(rule.Preset)).OfType<PeerFormula>().Order());
        Assert.Equal(
            _peers.Order(),
            BenchRule.All.Where(static rule => Case(rule.Name).HasPeers).Select(static rule => rule.Name).Order());
    }

    [Fact]
    public void Peers_are_of_float32_steps_on_the_cpu()
    {
        Assert.True(Case("adam").HasPeers);
        Assert.False((Case("adam") with { WithPeers = false }).HasPeers);
        Assert.False((Case("adam") with { DType = DType.BFloat16 }).HasPeers);
        Assert.False((Case("adam") with { StateType = DType.BFloat16 }).HasPeers);
        Assert.False((Case("adam") with { StateType = DType.Dynamic8 }).HasPeers);
        Assert.False(Case("deo-adam-cached").HasPeers);
        Assert.False(Case("invadam-amsgrad").HasPeers);
    }

    [Theory]
    [MemberData(nameof(AllRules))]
    public void The_floor_leaves_every_buffer_as_it_was(string rule)
    {
        foreach ((DType type, MasterWeights master, DType states) in new[]
        {
            (DType.Float32, MasterWeights.None, DType.Float32), (DType.BFloat16, MasterWeights.Float32, DType.Float32),
            (DType.BFloat16, MasterWeights.Remainder, DType.Float32), (DType.Float16, MasterWeights.None, DType.Float32),
            (DType.Float32, MasterWeights.None, DType.Dynamic8),
        })
        {
            BenchCase row = Case(rule) with { DType = type, MasterWeights = master, StateType = states };
            if (!row.Options.GetStates().All(state => CanBe(state, states)))
            {
                Assert.Equal(DType.Dynamic8, states);
                continue;
            }

            foreach (FloorForm form in FloorForm.All)
            {
                using var buffers = new BenchBuffers(row);
                using var optimizer = new OptimizerContender(row, buffers);
                optimizer.Run(2);
                byte[][] before = Snapshot(row, buffers);
                Assert.True(new MemoryFloor(row, buffers, form).Run(3) > 0);
                Assert.All(before.Zip(Snapshot(row, buffers)), static pair => Assert.Equal(pair.First, pair.Second));
            }
        }
    }

    [Theory]
    [InlineData("sgd", DType.Float32, DType.Float32)]
    [InlineData("adam", DType.Float32, DType.Dynamic8)]
    [InlineData("adam-amsgrad", DType.Float16, DType.Float32)]
    [InlineData("deo-adam-cached", DType.Float32, DType.Float32)]
    [InlineData("deo-adam-update", DType.BFloat16, DType.Float32)]
    [InlineData("deo-displace", DType.Float32, DType.Float32)]
    public void The_floor_writes_every_byte_of_every_stream_that_is_written(string rule, DType type, DType states)
    {
        const byte All = 0xff;
        BenchCase row = Case(rule) with { DType = type, StateType = states };
        foreach (FloorForm form in FloorForm.All)
        {
            using var buffers = new BenchBuffers(row);
            BenchStream[] streams = [.. row.Traffic.Passes.SelectMany(static pass => pass)];
            byte[][] before = [.. streams.Select(stream => OfFloor(buffers, stream))];
            new MemoryFloor(row, buffers, form, All).Run(1);
            for (int i = 0; i < streams.Length; i++)
            {
                byte[] after = OfFloor(buffers, streams[i]);
                bool isWritten = streams.Any(other => other.Role == streams[i].Role && other.Writes);
                byte change = isWritten ? All : (byte)0;
                Assert.Equal(before[i].Select(value => (byte)(streams[i].Reads ? value ^ change : change)), after);
            }
        }
    }

    [Theory]
    [InlineData(DType.Float32)]
    [InlineData(DType.BFloat16)]
    [InlineData(DType.Dynamic8)]
    public void Steps_on_the_buffers_of_a_row_are_those_on_buffers_of_the_optimizer(DType states)
    {
        BenchCase row = Case("adam") with { StateType = states };
        using var buffers = new BenchBuffers(row);
        using var contender = new OptimizerContender(row, buffers);
        contender.Run(Steps);

        // Each tensor has its bytes before the next one begins, and states of 8 bits are there.
        foreach ((string role, long[] bytes) in row.TensorBytes)
        {
            nint[] pointers = buffers.Pointers(role).ToArray();
            Assert.All(
                pointers.Skip(1).Zip(pointers, bytes),
                static tensor => Assert.InRange(tensor.First - tensor.Second, tensor.Third, tensor.Third + 63));
        }

        using var others = new BenchBuffers(row);
        using var set = new ParameterSet(row.Device, others.Parameters);
        set.SetGradients(others.Pointers(StepTraffic.Grad));
        using var adam = new Adam(set, new AdamOptions { StateType = states });
        for (int step = 0; step < Steps; step++)
        {
            adam.Step();
        }

        for (int tensor = 0; tensor < buffers.Count; tensor++)
        {
            Assert.Equal(
                Bits(others.Tensors(StepTraffic.Param)[tensor].ToArray()),
                Bits(buffers.Tensors(StepTraffic.Param)[tensor].ToArray()));
            foreach (StateRole role in adam.StateRoles)
            {
                TensorRef state = adam.GetState(role, tensor);
                string name = role.Name;
                Assert.Equal(row.TensorBytes[name][tensor], state.DType.ByteCount(state.ElementCount));
                Assert.Equal(Bytes(state.Pointer, row.TensorBytes[name][tensor]),
                    Bytes(buffers.Pointers(name)[tensor], row.TensorBytes[name][tensor]));
            }
        }
    }

    [Fact]
    public void The_floor_takes_one_of_its_forms()
    {
        BenchCase row = Case("adam");
        using var buffers = new BenchBuffers(row);
        var floor = new MemoryFloor(row, buffers);
        floor.ChooseForm(2);
        Assert.Contains(floor.Form, FloorForm.All);
    }

    [Theory]
    [MemberData(nameof(AllRules))]
    public void Numbers_stay_normal_in_many_steps(string rule)
    {
        BenchCase row = Case(rule) with { Shape = ModelShape.TryParse("2x300")! };
        using var buffers = new BenchBuffers(row);
        using var optimizer = new OptimizerContender(row, buffers);
        optimizer.Run(20_000);
        foreach (string role in row.ElementBytes.Keys.Where(static role => !BenchCase.IsOfDimer(role)))
        {
            for (int tensor = 0; tensor < buffers.Count; tensor++)
            {
                // A state that only an input changes, or another kind of steps, stays 0, which is as fast as a normal number.
                bool mayBeZero = (row.Options.Rule.Inputs.Count > 0 || row.Options.Rule.Name is "miadam" or "swats")
                    && row.Options.GetStates().Any(state => state.Name == role);
                Assert.All(
                    buffers.Tensors(role)[tensor].ToArray(),
                    x => Assert.True(float.IsNormal(x) || (mayBeZero && x == 0), $"{role} {x}"));
            }
        }
    }

    [Fact]
    public void A_row_is_what_its_case_says()
    {
        BenchCase row = Case("deo-adam-update") with { DType = DType.BFloat16, Threads = 1 };
        int threads = NativeRuntime.CpuThreads;
        BenchResult result = new BenchRun(new BenchSettings(2, 0)).Measure(row, static _ => { }, CancellationToken.None)!;
        Assert.Equal(threads, NativeRuntime.CpuThreads);
        Assert.Equal(("deo-adam-update", "cpu", 1), (result.Rule, result.Backend, result.Threads));
        Assert.Equal(("bfloat16", "float32", "none", "nearest"), (result.Dtype, result.StateDtype, result.Master, result.Rounding));
        Assert.Equal((_shape.ElementCount, 5), (result.Elements, result.Tensors));
        Assert.Equal(1, result.Rounds); // the limit, though two were asked for
        Assert.Equal(NativeRuntime.CpuInstructionSet, result.Isa);
        Assert.Empty(result.Peers);
    }

    /// <summary>Whether an optimizer can allocate a state of this type: 8 bits can be filled with 0 alone.</summary>
    private static bool CanBe(RuleState state, DType type) =>
        state.DTypes.Contains(type)
        && (type != DType.Dynamic8 || (state.InitialValue == 0 && state.InitialHyperparameter is null));

    private static BenchCase Case(string rule) =>
        new(BenchRule.All.Single(one => one.Name == rule), _shape) { Threads = 2 };

    /// <summary>All parameters after some steps.</summary>
    private static float[] ParametersAfterSteps(string rule, Func<BenchCase, BenchBuffers, IContender> create)
    {
        BenchCase row = Case(rule);
        using var buffers = new BenchBuffers(row);
        IContender contender = create(row, buffers);
        BenchContenders.TakeSteps(buffers, contender, Steps);
        (contender as IDisposable)?.Dispose();
        return [.. Enumerable.Range(0, buffers.Count).SelectMany(i => buffers.Tensors(StepTraffic.Param)[i].ToArray())];
    }

    /// <summary>As many bytes as the elements of all tensors have.</summary>
    private static unsafe byte[] OfFloor(BenchBuffers buffers, BenchStream stream) => new ReadOnlySpan<byte>(
        (void*)buffers.OfFloor(stream), (int)(buffers.ElementCount * stream.Bytes)).ToArray();

    private static unsafe byte[] Bytes(nint pointer, long count) =>
        new ReadOnlySpan<byte>((void*)pointer, (int)count).ToArray();

    private static int[] Bits(float[] values) => MemoryMarshal.Cast<float, int>(values).ToArray();

    /// <summary>All bytes that steps and the dimer's host read; the dimer's own buffers are other ones.</summary>
    private static byte[][] Snapshot(BenchCase row, BenchBuffers buffers) =>
    [
        .. row.TensorBytes.Where(static role => !BenchCase.IsOfDimer(role.Key)).Select(role =>
        {
            ReadOnlySpan<nint> pointers = buffers.Pointers(role.Key);
            return Bytes(pointers[0], pointers[^1] - pointers[0] + role.Value[^1]);
        }),
    ];
}
