using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Optimizers;

/// <summary>Buffers that the host moves: several roles at once, all or none, and of other types.</summary>
public class RebindingTests
{
    private const int Size = 8;

    public static TheoryData<string> Names => [.. Rule.All.Select(static rule => rule.Name)];

    /// <summary>New addresses of one role may be old ones of the other.</summary>
    [Fact]
    public void Parameters_and_gradients_change_places()
    {
        using DeviceBuffer<float> memory = new(Device.Cpu, 4);
        memory.CopyFrom([10, 20, 1, 2]);
        nint a = memory.Pointer;
        nint b = a + 8;
        using ParameterSet set = new([TensorRef.FromPointer(a, 2)]);
        set.SetGradients([b]);
        using Sgd optimizer = new(set, new SgdOptions { LearningRate = 1 });
        optimizer.Step();
        Snapshot.Unchanged<ArgumentException>(optimizer, () => set.SetParameters([b]));
        set.Rebind([b], [a]);
        Assert.Equal(b, set.GetParameter(0).Pointer);
        optimizer.Step();
        Assert.Equal([9, 18, -8, -16], memory.AsSpan().ToArray());
        set.Rebind([TensorRef.FromPointer(a, 2)], [TensorRef.FromPointer(b, 2)]);
        optimizer.Step();
        Assert.Equal([17, 34, -8, -16], memory.AsSpan().ToArray());
        set.Rebind([b], [0]); // frozen
        optimizer.Step();
        Assert.Equal([17, 34, -8, -16], memory.AsSpan().ToArray());
        Assert.Equal(3, optimizer.GetStepCount(0));
    }

    [Fact]
    public void Rebinding_allocates_nothing()
    {
        using DeviceBuffer<float> memory = new(Device.Cpu, 4);
        nint a = memory.Pointer;
        using ParameterSet set = new([TensorRef.FromPointer(a, 2)]);
        set.SetGradients([a + 8]);
        using Sgd optimizer = new(set);
        long before = 0;
        for (int step = -20; step < 200; step++)
        {
            before = step == 0 ? GC.GetAllocatedBytesForCurrentThread() : before;
            nint moved = a + (8 * (step & 1));
            set.Rebind([moved], [a + 8 - (moved - a)]);
            set.Rebind([moved], [a + 8 - (moved - a)]);
            optimizer.Step();
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void What_does_not_fit_rebinds_neither()
    {
        using DeviceBuffer<float> memory = new(Device.Cpu, 16);
        using Model model = new(2, 3);
        using Adam optimizer = new(model.Set);
        optimizer.Step();
        nint a = memory.Pointer;
        nint before = model.Set.GetParameter(0).Pointer;
        nint state = optimizer.GetState(StateRole.ExpAvg, 1).Pointer;
        Refuses("gradients has 1 entries", () => model.Set.Rebind([a, a + 16], [a + 32]));
        Refuses("parameters has 1 entries", () => model.Set.Rebind([a], [a + 16, a + 32]));
        Refuses("overlaps", () => model.Set.Rebind([a, a + 16], [a, a + 32]));
        Refuses("overlaps", () => model.Set.Rebind([a, a + 4], [a + 32, a + 48]));
        Refuses("overlaps", () => model.Set.Rebind([a, a + 16], [a + 32, state]));
        Refuses("is null", () => model.Set.Rebind([a, 0], [a + 16, a + 32]));
        Refuses("not aligned", () => model.Set.Rebind([a, a + 16], [a + 33, a + 48]));
        Refuses(
            "gradients[1] has 2 elements",
            () => model.Set.Rebind(
                [TensorRef.FromPointer(a, 2), TensorRef.FromPointer(a + 16, 3)],
                [TensorRef.FromPointer(a + 32, 2), TensorRef.FromPointer(a + 48, 2)]));
        Assert.Equal(before, model.Set.GetParameter(0).Pointer);
        optimizer.Step();
        optimizer.Dispose();
        model.Set.Dispose();
        Assert.Throws<ObjectDisposedException>(() => model.Set.Rebind([a, a + 16], [a + 32, a + 48]));

        void Refuses(string message, Action action) => Assert.Contains(
            message, Snapshot.Unchanged<ArgumentException>(optimizer, action).Message, StringComparison.Ordinal);
    }

    /// <summary>As a checkpoint's tensors may lie where others were.</summary>
    [Fact]
    public void States_change_places()
    {
        using DeviceBuffer<float> memory = new(Device.Cpu, 2 * Size);
        nint a = memory.Pointer;
        nint b = a + (sizeof(float) * Size);
        using Model model = new(Size);
        using Model other = new(Size);
        using Adam expected = new(other.Set);
        using Adam optimizer = new(model.Set);
        optimizer.BindStates(new Dictionary<StateRole, nint[]> { [StateRole.ExpAvg] = [a], [StateRole.ExpAvgSq] = [b] });
        Assert.Equal(0, optimizer.AllocatedBytes);
        model.Step(optimizer, 1, 3);
        other.Step(expected, 1, 3);
        Snapshot.Unchanged<ArgumentException>(optimizer, () => optimizer.BindState(StateRole.ExpAvg, [b]));
        float[] first = memory.AsSpan()[..Size].ToArray();
        memory.AsSpan()[Size..].CopyTo(memory.AsSpan());
        first.CopyTo(memory.AsSpan()[Size..]);
        optimizer.BindStates(new Dictionary<StateRole, nint[]> { [StateRole.ExpAvg] = [b], [StateRole.ExpAvgSq] = [a] });
        Assert.Equal(b, optimizer.GetState(StateRole.ExpAvg, 0).Pointer);
        model.Step(optimizer, 4, 5);
        other.Step(expected, 4, 5);
        Assert.Equal(Snapshot.Of(expected), Snapshot.Of(optimizer));

        // In place of the optimizer's own, which are freed.
        Assert.True(expected.AllocatedBytes > 0);
        using DeviceBuffer<float> more = new(Device.Cpu, 2 * Size);
        expected.BindStates(
            new Dictionary<StateRole, nint[]>
            {
                [StateRole.ExpAvg] = [more.Pointer],
                [StateRole.ExpAvgSq] = [more.Pointer + (sizeof(float) * Size)],
            });
        Assert.Equal(0, expected.AllocatedBytes);
        expected.BindStates(new Dictionary<StateRole, nint[]>());
        expected.Step();
    }

    [Fact]
    public void Everything_moves_at_once()
    {
        // Parameter, gradient, exp_avg, exp_avg_sq: each takes the place of the next one.
        using DeviceBuffer<float> memory = new(Device.Cpu, 4 * Size);
        using Model model = new(Size);
        using Adam expected = new(model.Set);
        nint[] at = [.. Enumerable.Range(0, 4).Select(i => memory.Pointer + (sizeof(float) * Size * i))];
        model.Parameters[0].CopyTo(memory.AsSpan());
        model.SetGradients(1);
        model.Gradients[0].CopyTo(memory.AsSpan()[Size..]);
        using ParameterSet set = new([TensorRef.FromPointer(at[0], Size)]);
        set.SetGradients([at[1]]);
        using Adam optimizer = new(set);
        Bind(2, 3);
        optimizer.Step();
        expected.Step();
        float[] values = memory.AsSpan().ToArray();
        values[..(3 * Size)].CopyTo(memory.AsSpan()[Size..]);
        values[(3 * Size)..].CopyTo(memory.AsSpan());
        optimizer.UnbindStates();
        set.Rebind([at[1]], [at[2]]);
        Bind(3, 0);
        model.SetGradients(2);
        model.Gradients[0].CopyTo(memory.AsSpan()[(2 * Size)..]);
        optimizer.Step();
        expected.Step();
        Assert.Equal(Snapshot.Of(expected), Snapshot.Of(optimizer));

        void Bind(int first, int second) => optimizer.BindStates(
            new Dictionary<StateRole, nint[]> { [StateRole.ExpAvg] = [at[first]], [StateRole.ExpAvgSq] = [at[second]] });
    }

    [Fact]
    public void States_that_were_let_go_are_missed_until_they_are_bound_again()
    {
        using DeviceBuffer<float> memory = new(Device.Cpu, Size);
        using Model model = new(Size);
        using Adam optimizer = new(model.Set);
        optimizer.BindState(StateRole.ExpAvg, [memory.Pointer]);
        model.Step(optimizer, 1, 2);
        nint kept = optimizer.GetState(StateRole.ExpAvgSq, 0).Pointer;
        float[] before = memory.AsSpan().ToArray();
        optimizer.UnbindStates();
        optimizer.UnbindStates();
        using MemoryStream file = new();
        foreach (Action needing in (Action[])[optimizer.Step, () => optimizer.Save(file), () => optimizer.GetState(StateRole.ExpAvg, 0)])
        {
            Assert.Contains(
                "state exp_avg was the host's until UnbindStates",
                Assert.Throws<InvalidOperationException>(needing).Message,
                StringComparison.Ordinal);
        }

        Assert.Equal(0, file.Length);
        Assert.Equal(2, optimizer.StepCount);
        Assert.Equal(before, memory.AsSpan().ToArray());
        optimizer.BindState(StateRole.ExpAvg, [memory.Pointer]);
        Assert.Equal(kept, optimizer.GetState(StateRole.ExpAvgSq, 0).Pointer);
        model.Step(optimizer, 3, 3);
        using Model other = new(Size);
        using Adam expected = new(other.Set);
        other.Step(expected, 1, 3);
        Assert.Equal(Snapshot.Of(expected), Snapshot.Of(optimizer));
    }

    /// <summary>What the optimizer allocated is freed when other buffers take its place, so that these cannot lie there.</summary>
    [Fact]
    public void Addresses_in_memory_that_would_be_freed_are_refused()
    {
        using Model model = new(Size);
        using Model other = new(Size);
        using Adam optimizer = new(model.Set);
        using Adam expected = new(other.Set);
        model.Step(optimizer, 1, 1);
        nint first = optimizer.GetState(StateRole.ExpAvg, 0).Pointer;
        nint second = optimizer.GetState(StateRole.ExpAvgSq, 0).Pointer;
        Action[] refused =
        [
            () => optimizer.BindState(StateRole.ExpAvg, [first]),
            () => optimizer.BindStates(
                new Dictionary<StateRole, nint[]> { [StateRole.ExpAvg] = [second], [StateRole.ExpAvgSq] = [first] }),
        ];
        foreach (Action binding in refused)
        {
            Assert.Contains("freed", Assert.Throws<ArgumentException>("buffers", binding).Message, StringComparison.Ordinal);
        }

        model.Step(optimizer, 2, 2);
        other.Step(expected, 1, 2);
        Assert.Equal(Snapshot.Of(expected), Snapshot.Of(optimizer));
    }

    /// <summary>What an adapter needs: any rule by data, with all of its states bound, of any type that they can have.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void Buffers_of_any_type_are_bound_for_any_rule(string name)
    {
        Rule rule = Rule.Get(name);
        MixedTensor[] tensors =
        [
            new(300, DType.Float32, DType.Float32), new(17, DType.BFloat16, DType.BFloat16), new(0, DType.Float32, DType.Float32),
        ];
        DType[] types = [.. rule.States.SelectMany(static state => state.DTypes).Distinct().Where(static type => type != DType.Dynamic8)];
        foreach (DType first in types)
        {
            foreach (DType second in types)
            {
                if (!rule.States.All(state => state.DTypes.Contains(first) && state.DTypes.Contains(second)))
                {
                    continue;
                }

                using MixedModel model = new(tensors);
                using MixedModel bound = new(tensors);
                using ParameterSet typed = new(
                    model.Parameters,
                    [.. new[] { first, second, first }.Select(static type => new TensorOptions { StateType = type })]);
                typed.SetGradients(model.Gradients);
                RuleOptions options = AllStates(rule);
                using RuleOptimizer expected = new(typed, options);
                using RuleOptimizer optimizer = new(bound.Set, options);
                optimizer.BindStates(
                    options.GetStates().ToDictionary(
                        static state => state.Role,
                        state => (TensorRef[])[Filled(state, 300, first), Filled(state, 17, second), TensorRef.FromPointer(0, 0, first)]));
                for (int step = 1; step <= 3; step++)
                {
                    model.SetGradients(step);
                    bound.SetGradients(step);
                    expected.Step();
                    optimizer.Step();
                }

                Assert.Equal(0, optimizer.AllocatedBytes);
                Assert.All(options.GetStates(), state => Assert.Equal(first, optimizer.GetState(state.Role, 0).DType));
                Assert.All(options.GetStates(), state => Assert.Equal(second, optimizer.GetState(state.Role, 1).DType));
                Assert.Equal(Snapshot.Of(expected), Snapshot.Of(optimizer));

                // A file goes from the one to the other.
                using MemoryStream file = new();
                expected.Save(file);
                file.Position = 0;
                optimizer.Load(file);
                Assert.Equal(Snapshot.Of(expected), Snapshot.Of(optimizer));

                TensorRef Filled(RuleState state, int size, DType type)
                {
                    TensorRef buffer = bound.Allocate(size, type);
                    double value = state.InitialHyperparameter is { } own ? options.Hyperparameters.GetValueOrDefault(
                        own, rule.GetHyperparameter(own).Default) : state.InitialValue;
                    MixedModel.Write(buffer, [.. Enumerable.Repeat((float)value, size)]);
                    return buffer;
                }
            }
        }
    }

    [Fact]
    public void Buffers_that_do_not_fit_leave_all_as_it_was()
    {
        using DeviceBuffer<float> memory = new(Device.Cpu, 64);
        nint a = memory.Pointer;
        using Model model = new(5, 9);
        using Adam optimizer = new(model.Set);
        optimizer.Step();
        nint state = optimizer.GetState(StateRole.ExpAvgSq, 0).Pointer;
        nint moment = optimizer.GetState(StateRole.ExpAvg, 0).Pointer;
        Refuses("has no state \"no_such_state\"; it has exp_avg, exp_avg_sq, max_exp_avg_sq", "no_such_state", [a, a + 64]);
        Refuses("has no state \"master_param\"", StateRole.MasterParam, [a, a + 64]);
        Refuses("buffers[\"exp_avg\"] has 1 entries", StateRole.ExpAvg, [a]);
        Refuses("buffers[\"exp_avg\"] is null", StateRole.ExpAvg, null!);
        Refuses("buffers[\"exp_avg\"][1] is null", StateRole.ExpAvg, [a, 0]);
        Refuses("overlaps", StateRole.ExpAvg, [a, state]);
        Refuses("overlaps", StateRole.ExpAvg, [a, a + 16]);
        Refuses("not aligned", StateRole.ExpAvg, [a, a + 65]);
        RefusesTensors("buffers[\"exp_avg\"][1] has 8 elements", TensorRef.FromPointer(a, 5), TensorRef.FromPointer(a + 64, 8));
        RefusesTensors("is on", TensorRef.FromPointer(a, 5), TensorRef.FromPointer(a + 64, 9, Device.Cuda()));
        RefusesTensors(
            "buffers[\"exp_avg\"][0] is UInt16; exp_avg of the rule \"adam\" can only be Float32, BFloat16, Float16 or Dynamic8",
            TensorRef.FromPointer(a, 5, DType.UInt16), TensorRef.FromPointer(a + 64, 9));

        // After the types were changed on the way: they and the buffers are what they were.
        RefusesTensors("overlaps", TensorRef.FromPointer(a, 5, DType.BFloat16), TensorRef.FromPointer(state, 9));
        RefusesTensors("not aligned", TensorRef.FromPointer(a + 1, 5, DType.Float16), TensorRef.FromPointer(a + 64, 9));
        Assert.Equal(moment, optimizer.GetState(StateRole.ExpAvg, 0).Pointer);
        Assert.Throws<ArgumentNullException>(() => optimizer.BindStates((IReadOnlyDictionary<StateRole, nint[]>)null!));
        Assert.Throws<ArgumentNullException>(() => optimizer.BindStates((IReadOnlyDictionary<StateRole, TensorRef[]>)null!));
        optimizer.Step();
        optimizer.Dispose();
        Assert.Throws<ObjectDisposedException>(() => optimizer.BindStates(new Dictionary<StateRole, nint[]>()));
        Assert.Throws<ObjectDisposedException>(optimizer.UnbindStates);

        void Refuses(string message, StateRole role, nint[] addresses) => Contains(
            message, () => optimizer.BindStates(new Dictionary<StateRole, nint[]> { [role] = addresses }));

        void RefusesTensors(string message, params TensorRef[] tensors) => Contains(
            message, () => optimizer.BindStates(new Dictionary<StateRole, TensorRef[]> { [StateRole.ExpAvg] = tensors }));

        void Contains(string message, Action action)
        {
            ArgumentException error = Snapshot.Unchanged<ArgumentException>(optimizer, action);
            Assert.Contains(message, error.Message, StringComparison.Ordinal);
        }
    }

    /// <summary>The options that lead to as many states as the rule has.</summary>
    private static RuleOptions AllStates(Rule rule) => new(rule.Name)
    {
        Flags =
        [
            .. rule.DefaultFlags.Concat(rule.Flags.Where(static flag => flag.SelectsStates)).Select(static flag => flag.Name).Distinct(),
        ],
        Hyperparameters = rule.Hyperparameters.Where(static own => own.SelectsStates).ToDictionary(
            static own => own.Name, own => TypedRule.Levels(rule, own)[^1]),
    };
}
