using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Groups;

/// <summary>Other tensors and other groups between steps.</summary>
public class TakeOverTests
{
    private static readonly string[] Tensors = ["a", "b", "c", "d"];

    private static readonly int[] Sizes = [300, 5, 4097, 0];

    public static TheoryData<string> Names => GroupedModel.Names;

    /// <summary>Each tensor has an optimizer of its own beside it, which knows nothing of all this.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void Tensors_and_groups_come_and_go(string name)
    {
        OptimizerOptions[] options = GroupedModel.Options[name];
        using Model model = new(Sizes);
        using Alone a = new(Sizes[0], model.Parameters[0], options[0]);
        using Alone b = new(Sizes[1], model.Parameters[1], options[0]);
        using Alone c = new(Sizes[2], model.Parameters[2], options[1]);
        using Alone d = new(Sizes[3], model.Parameters[3], options[2]);

        // a and b; then c, new, in a group of its own; then a goes and d comes, the others in another order; then b alone.
        using ParameterSet first = Set(model, (0, 0), (1, 0));
        Optimizer optimizer = GroupedModel.Create(first, options[0]);
        Step(1, 3, optimizer, a, b);
        using ParameterSet second = Set(model, (0, 0), (1, 0), (2, 1));
        optimizer = Next(second, optimizer, options[0], options[1]);
        Assert.Equal((3, 0), (optimizer.StepCount, optimizer.Groups[1].StepCount));
        Step(4, 5, optimizer, a, b, c);
        GroupedModel.RequireSame(optimizer, 0, [0], a.Optimizer);
        GroupedModel.RequireSame(optimizer, 0, [1], b.Optimizer);
        GroupedModel.RequireSame(optimizer, 1, [2], c.Optimizer);
        string gone = Snapshot.Bits(second.GetParameter(0));
        using ParameterSet third = Set(model, (3, 0), (2, 1), (1, 2));
        optimizer = Next(third, optimizer, options[2], options[1], options[0]);
        Assert.Equal([0, 2, 5], optimizer.Groups.Select(static group => group.StepCount));
        Step(6, 8, optimizer, d, c, b);
        GroupedModel.RequireSame(optimizer, 0, [0], d.Optimizer);
        GroupedModel.RequireSame(optimizer, 1, [1], c.Optimizer);
        GroupedModel.RequireSame(optimizer, 2, [2], b.Optimizer);
        Assert.Equal(gone, Snapshot.Bits(second.GetParameter(0)));
        using ParameterSet fourth = Set(model, (1, 0));
        optimizer = Next(fourth, optimizer, options[0]);
        Assert.Equal(8, optimizer.StepCount);
        Step(9, 9, optimizer, b);
        GroupedModel.RequireSame(optimizer, 0, [0], b.Optimizer);
        optimizer.Dispose();

        void Step(int from, int to, Optimizer one, params Alone[] alone)
        {
            for (int step = from; step <= to; step++)
            {
                model.SetGradients(step);
                foreach (Alone own in alone)
                {
                    float[] gradient = model.Gradients[own == a ? 0 : own == b ? 1 : own == c ? 2 : 3];
                    gradient.CopyTo(own.Model.Gradients[0], 0);
                    own.Optimizer.Step();
                }

                one.Step();
            }
        }

        static Optimizer Next(ParameterSet set, Optimizer previous, params OptimizerOptions[] options)
        {
            Optimizer next = GroupedModel.Create(set, options);
            string before = Snapshot.Of(previous);
            next.TakeOver(previous);
            Assert.Equal(before, Snapshot.Of(previous));
            previous.Dispose();
            return next;
        }
    }

    /// <summary>The same tensors in the same groups; also where the device counts.</summary>
    [Fact]
    public void The_same_groups_go_on_as_if_nothing_had_happened()
    {
        foreach (bool capturable in new[] { false, true })
        {
            using GroupedModel model = GroupedModel.Of(nameof(DualAdam));
            model.Step(1, 3);
            TensorOptions[] tensors =
                [.. GroupedModel.GroupOf.Select((group, tensor) => new TensorOptions
                {
                    Group = group,
                    LearningRateScale = tensor == 2 ? 0.5 : 1,
                    WeightDecay = tensor == 8 ? 0.125 : null,
                })];
            using ParameterSet set = ParameterSet.FromArrays(model.Model.Parameters, model.Model.Gradients, tensors);
            using Optimizer next = GroupedModel.Create(set, GroupedModel.Options[nameof(DualAdam)]);
            model.Optimizer.SetCapturable(capturable);
            next.SetCapturable(capturable);
            next.TakeOver(model.Optimizer);
            Assert.Equal(Snapshot.Of(model.Optimizer), Snapshot.Of(next));
            model.Optimizer.Dispose();
            model.SetGradients(4);
            next.Step();
            for (int group = 0; group < 3; group++)
            {
                model.Optimizers[group].Step();
                GroupedModel.RequireSame(next, group, GroupedModel.Members(group), model.Optimizers[group]);
            }
        }
    }

    [Theory]
    [InlineData(MasterWeights.None, DType.BFloat16)]
    [InlineData(MasterWeights.Float32, DType.Float32)]
    [InlineData(MasterWeights.Remainder, DType.BFloat16)]
    [InlineData(MasterWeights.Remainder, DType.Dynamic8)]
    public void Master_weights_and_short_states_come_along(MasterWeights masters, DType states)
    {
        AdamOptions options = new() { MasterWeights = masters, StateType = states };
        if (states == DType.Dynamic8)
        {
            options = options with { MinDynamic8ElementCount = 100 };
        }

        MixedTensor[] tensors = [new(300, DType.BFloat16, DType.BFloat16), new(9, DType.Float32, DType.Float32), new(17, DType.BFloat16, DType.BFloat16)];
        using MixedModel model = new(tensors);
        using MixedModel whole = new(tensors);
        using Adam uninterrupted = new(whole.Set, options);
        whole.Step(uninterrupted, 1, 4);
        Adam previous = new(model.Set, options);
        model.Step(previous, 1, 4);

        // Tensor 2 goes, the others change places.
        using ParameterSet fewer = new([model.Parameters[1], model.Parameters[0]], [new() { Name = "1" }, new() { Name = "0" }]);
        fewer.SetGradients([model.Gradients[1], model.Gradients[0]]);
        using Adam next = new(fewer, options);
        next.TakeOver(previous);
        previous.Dispose();
        model.SetGradients(5);
        next.Step();
        whole.Step(uninterrupted, 5, 5);
        foreach ((int here, int there) in new[] { (0, 1), (1, 0) })
        {
            Assert.Equal(Snapshot.Bits(whole.Parameters[there]), Snapshot.Bits(fewer.GetParameter(here)));
            foreach (StateRole role in uninterrupted.StateRoles)
            {
                Assert.Equal(Snapshot.Bits(uninterrupted.GetState(role, there)), Snapshot.Bits(next.GetState(role, here)));
            }
        }
    }

    [Fact]
    public void Another_threshold_of_8_bits_is_refused()
    {
        AdamOptions options = new() { StateType = DType.Dynamic8 };
        using Model model = new(Sizes);
        using ParameterSet set = Set(model, (0, 0), (1, 0));
        using ParameterSet same = Set(model, (0, 0), (1, 0));
        using Adam previous = new(set, options);
        previous.Step();
        using Adam next = new(same, options with { MinDynamic8ElementCount = 0 });
        RefusesArgument(
            "tensor 0 (\"a\") has 300 elements of Dynamic8 as exp_avg, but that of the previous optimizer has 300 of Float32", next,
            previous);
    }

    /// <summary>A host that keeps the states itself may give the same buffers to both.</summary>
    [Fact]
    public void Bound_buffers_may_stay_where_they_are()
    {
        using DeviceBuffer<float> moment = new(Device.Cpu, Sizes[0]);
        using Model model = new(Sizes);
        using ParameterSet first = Set(model, (0, 0), (1, 0));
        using ParameterSet second = Set(model, (0, 0));
        using Adam previous = new(first);
        using DeviceBuffer<float> other = new(Device.Cpu, Sizes[1]);
        previous.BindState(StateRole.ExpAvg, [moment, other]);
        previous.Step();
        float[] values = [.. moment.AsSpan()];
        using Adam next = new(second);
        next.BindState(StateRole.ExpAvg, [moment]);
        next.TakeOver(previous);
        Assert.Equal(values, moment.AsSpan().ToArray());
        Assert.Equal(Snapshot.Bits(previous.GetState(StateRole.ExpAvgSq, 0)), Snapshot.Bits(next.GetState(StateRole.ExpAvgSq, 0)));
    }

    /// <summary>The step count belongs to the tensor, so that old and new ones can be in one group.</summary>
    [Fact]
    public void Tensors_of_different_histories_may_be_in_one_group()
    {
        using Model model = new(Sizes);
        using ParameterSet two = Set(model, (0, 0), (1, 1));
        using Adam previous = new(two, [new(), new() { Beta1 = 0.5 }]);
        previous.Step();
        (previous.Groups[1].StepCount, previous.Groups[1].Beta2Product) = (7, 0.75);
        using (ParameterSet mixed = Set(model, (0, 0), (2, 0), (1, 0)))
        {
            using Adam joined = new(mixed);
            joined.TakeOver(previous);
            Assert.Equal([1, 0, 7], Enumerable.Range(0, 3).Select(joined.GetStepCount));
            Assert.Equal((7, 1 / 128.0, 0.75), (joined.StepCount, joined.Beta1Product, joined.Beta2Product));
            Assert.Equal(
                [(0.9, 0.999), (1, 1), (1 / 128.0, 0.75)],
                joined.TensorStates().Select(static state => (state.running[0], state.running[1])));

            // Each goes on as it would alone, with the same options.
            using Model apart = new(Sizes);
            for (int i = 0; i < 3; i++)
            {
                model.Parameters[i].CopyTo(apart.Parameters[i], 0);
                model.Gradients[i].CopyTo(apart.Gradients[i], 0);
            }

            int[] order = [0, 2, 1];
            string[] expected = [.. Enumerable.Range(0, 3).Select(tensor => Alone(apart, order[tensor], joined, tensor))];
            joined.Step();
            Assert.Equal([2, 1, 8], Enumerable.Range(0, 3).Select(joined.GetStepCount));
            Assert.Equal(expected, Enumerable.Range(0, 3).Select(tensor => Snapshot.Bits(mixed.GetParameter(tensor))));
        }

        // Before the first step all are new.
        (previous.StepCount, previous.Groups[1].StepCount) = (0, 0);
        using ParameterSet fresh = Set(model, (0, 0), (2, 0));
        using Adam begun = new(fresh);
        begun.TakeOver(previous);
        Assert.Equal(0, begun.StepCount);

        static string Alone(Model model, int index, Adam joined, int tensor)
        {
            using ParameterSet set = Set(model, (index, 0));
            using Adam optimizer = new(set);
            foreach (StateRole role in optimizer.StateRoles)
            {
                float[] values = Snapshot.Values(joined, role, tensor);
                System.Runtime.InteropServices.Marshal.Copy(values, 0, optimizer.GetState(role, 0).Pointer, values.Length);
            }

            optimizer.SetStates([joined.TensorStates()[tensor]], [joined.TensorStates()[tensor]]);
            optimizer.Step();
            return Snapshot.Bits(set.GetParameter(0));
        }
    }

    [Fact]
    public void What_does_not_fit_is_refused_and_nothing_changes()
    {
        using Model model = new(Sizes);
        using ParameterSet set = Set(model, (0, 0), (1, 0));
        using Adam previous = new(set);
        previous.Step();
        Refuses("its rule is adam, this one's is dualadam", static set => new DualAdam(set));
        Refuses(
            "tensor 0 (\"a\") has 300 elements of BFloat16 as exp_avg, but that of the previous optimizer has 300 of Float32",
            static set => new Adam(set, new AdamOptions { StateType = DType.BFloat16 }));
        Refuses(
            "its set of states is exp_avg, exp_avg_sq, this one's is exp_avg, exp_avg_sq, max_exp_avg_sq",
            static set => new Adam(set, new AdamOptions { Amsgrad = true }));
        using (ParameterSet fewer = Set(model, (0, 0)))
        {
            using AdamW same = new(fewer); // its states are Adam's
            same.TakeOver(previous);
            Assert.Equal(1, same.StepCount);
        }

        RefusesArgument("it is this one", previous, previous);
        float[] values = new float[301];
        using ParameterSet other = ParameterSet.FromArrays([values], [values.ToArray()], [new() { Name = "a" }]);
        using Adam longer = new(other);
        RefusesArgument("tensor 0 (\"a\") has 301 elements, but that of the previous optimizer has 300", longer, previous);
        using ParameterSet unnamed = ParameterSet.FromArrays([values], [values.ToArray()]);
        using Adam stranger = new(unnamed);
        RefusesArgument("No tensor has a name that one of the previous optimizer has (\"0\" here, \"a\" there)", stranger, previous);
        Assert.Equal("previous", Assert.Throws<ArgumentNullException>(() => stranger.TakeOver(null!)).ParamName);
        Assert.Throws<ArgumentException>(() => stranger.TakeOver(previous, DeviceStream.FromPointer(64)));

        using ParameterSet begun = Set(model, (0, 0));
        using Adam stepped = new(begun);
        stepped.Step();
        Assert.Contains(
            "has taken 1 steps with group 0",
            Snapshot.Unchanged<InvalidOperationException>(stepped, () => stepped.TakeOver(previous)).Message,
            StringComparison.Ordinal);

        void Refuses(string message, Func<ParameterSet, Optimizer> create)
        {
            using ParameterSet next = Set(model, (0, 0), (1, 0));
            using Optimizer optimizer = create(next);
            RefusesArgument(message, optimizer, previous);
        }
    }

    /// <summary>Which tensors have master weights is up to their types.</summary>
    [Fact]
    public void A_parameter_of_another_type_is_refused()
    {
        AdamOptions options = new() { MasterWeights = MasterWeights.Float32 };
        using MixedModel from = new(new MixedTensor(5, DType.Float32, DType.Float32), new MixedTensor(3, DType.BFloat16, DType.BFloat16));
        using MixedModel to = new(new MixedTensor(5, DType.BFloat16, DType.BFloat16), new MixedTensor(3, DType.BFloat16, DType.BFloat16));
        using Adam previous = new(from.Set, options);
        from.Step(previous, 1, 2);
        using Adam next = new(to.Set, options);
        RefusesArgument("tensor 0 (\"0\") has 5 elements of Float32 as master_param, but that of the previous", next, previous);
        using MixedModel plain = new(new MixedTensor(5, DType.BFloat16, DType.BFloat16));
        using Adam without = new(plain.Set);
        RefusesArgument("its MasterWeights is Float32, this one's is None", without, previous);
    }

    [Fact]
    public void Displaced_parameters_are_refused()
    {
        using Model model = new(Sizes);
        using ParameterSet set = Set(model, (0, 0));
        using Adam previous = new(set);
        using DimerOptimizer dimer = new(previous);
        using ParameterSet other = Set(model, (0, 0));
        using Adam next = new(other);
        dimer.Displace();
        Assert.Throws<InvalidOperationException>(() => next.TakeOver(previous));
        dimer.Restore();
        next.TakeOver(previous);
    }

    [Fact]
    public void Disposed_optimizers_and_sets_are_refused()
    {
        using Model model = new(Sizes);
        ParameterSet set = Set(model, (0, 0));
        Adam previous = new(set);
        previous.Step();
        using ParameterSet other = Set(model, (0, 0));
        Adam next = new(other);
        next.Dispose();
        Assert.Throws<ObjectDisposedException>(() => next.TakeOver(previous));
        using Adam last = new(other);
        set.Dispose();
        Snapshot.Unchanged<ObjectDisposedException>(last, () => last.TakeOver(previous));
        previous.Dispose();
        Snapshot.Unchanged<ObjectDisposedException>(last, () => last.TakeOver(previous));
    }

    private static void RefusesArgument(string message, Optimizer optimizer, Optimizer previous)
    {
        string before = Snapshot.Of(previous);
        ArgumentException error = Snapshot.Unchanged<ArgumentException>(optimizer, () => optimizer.TakeOver(previous));
        Assert.Equal("previous", error.ParamName);
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.Equal(before, Snapshot.Of(previous));
    }

    /// <summary>Some of a model's tensors, under their names and in groups.</summary>
    private static ParameterSet Set(Model model, params (int Tensor, int Group)[] tensors) => ParameterSet.FromArrays(
        [.. tensors.Select(one => model.Parameters[one.Tensor])],
        [.. tensors.Select(one => model.Gradients[one.Tensor])],
        [.. tensors.Select(one => new TensorOptions { Name = Tensors[one.Tensor], Group = one.Group })]);

    /// <summary>One tensor and its optimizer.</summary>
    private sealed class Alone : IDisposable
    {
        public Alone(int size, float[] parameter, OptimizerOptions options)
        {
            Model = new Model(size);
            parameter.CopyTo(Model.Parameters[0], 0);
            Optimizer = Rules.Create(Model.Set, options);
        }

        public Model Model { get; }

        public Optimizer Optimizer { get; }

        public void Dispose()
        {
            Optimizer.Dispose();
            Model.Dispose();
        }
    }
}
