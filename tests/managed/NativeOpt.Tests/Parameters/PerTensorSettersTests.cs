using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Parameters;

/// <summary>Learning-rate scales, weight decays and groups of all tensors at once.</summary>
public class PerTensorSettersTests
{
    private const int Count = 10_000;

    [Fact]
    public void All_at_once_is_the_same_as_one_by_one()
    {
        int[] sizes = [5, 0, 300, 7];
        using Model together = new(sizes);
        using Model single = new(sizes);
        using AdamW all = new(together.Set, [new(), new() { LearningRate = 0.02 }]);
        using AdamW one = new(single.Set, [new(), new() { LearningRate = 0.02 }]);
        double[] scales = [0.5, 1, 0, 2];
        double?[] decays = [null, 0.1, 0, 0.3];
        int[] groups = [1, 0, 0, 1];
        together.Set.SetLearningRateScales(scales);
        together.Set.SetWeightDecays(decays);
        together.Set.SetGroups(groups);
        for (int tensor = 0; tensor < sizes.Length; tensor++)
        {
            single.Set.SetLearningRateScale(tensor, scales[tensor]);
            single.Set.SetWeightDecay(tensor, decays[tensor]);
            single.Set.SetGroup(tensor, groups[tensor]);
            Assert.Equal(
                (scales[tensor], decays[tensor], groups[tensor]),
                (together.Set.GetLearningRateScale(tensor), together.Set.GetWeightDecay(tensor), together.Set.GetGroup(tensor)));
        }

        together.Step(all, 1, 3);
        single.Step(one, 1, 3);
        Assert.Equal(Snapshot.Of(one), Snapshot.Of(all));

        // The values are copies, and a tensor that changes its group keeps its count.
        scales[0] = 7;
        Assert.Equal(0.5, together.Set.GetLearningRateScale(0));
        together.Set.SetGroups([0, 0, 0, 0]);
        together.Step(all, 4, 4);
        Assert.Equal((4, 4, 0.5), (all.GetStepCount(0), all.GetStepCount(2), together.Set.GetLearningRateScale(0)));
    }

    [Fact]
    public void They_allocate_nothing_for_many_tensors()
    {
        using DeviceBuffer<float> memory = new(Device.Cpu, 2 * Count);
        nint begin = memory.Pointer;
        TensorRef[] parameters = [.. Enumerable.Range(0, Count).Select(i => TensorRef.FromPointer(begin + (4 * i), 1))];
        TensorRef[] gradients = [.. parameters.Select(static p => p with { Pointer = p.Pointer + (4 * Count) })];
        memory.AsSpan().Fill(1);
        using ParameterSet set = ParameterSet.FromTensors(parameters, gradients);
        using Sgd optimizer = new(set, new SgdOptions { LearningRate = 1 });
        double[] scales = [.. Enumerable.Range(0, Count).Select(static i => i % 3 * 0.5)];
        double?[] decays = new double?[Count];
        int[] groups = new int[Count];
        long before = 0;
        for (int call = 0; call < 4; call++)
        {
            before = call == 2 ? GC.GetAllocatedBytesForCurrentThread() : before;
            scales[^1] = call;
            decays[0] = call;
            set.SetLearningRateScales(scales);
            set.SetWeightDecays(decays);
            set.SetGroups(groups);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        optimizer.Step();
        Assert.Equal([1, 0.5f, 0, 1], memory.AsSpan()[..4].ToArray());
        Assert.Equal(-2, memory.AsSpan()[Count - 1]);
    }

    /// <summary>Values that are what they were are not sent: cohorts need not be found anew, which would allocate.</summary>
    [Fact]
    public void Equal_values_change_nothing()
    {
        using Model model = new(5, 7);
        using Adam optimizer = new(model.Set);
        model.Set.SetLearningRateScales([0.5, 1]);
        optimizer.Step();
        string before = Snapshot.Of(optimizer);
        model.Set.SetLearningRateScales([0.5, 1]);
        model.Set.SetWeightDecays([null, null]);
        model.Set.SetGroups([0, 0]);
        Assert.Equal(before, Snapshot.Of(optimizer));
    }

    [Fact]
    public void What_does_not_fit_is_refused_and_nothing_changes()
    {
        using Model model = new(5, 7);
        using Adam optimizer = new(model.Set, [new(), new()]);
        ParameterSet set = model.Set;
        set.SetLearningRateScales([0.5, 2]);
        set.SetWeightDecays([0.25, null]);
        set.SetGroups([1, 0]);
        Refuses<ArgumentException>("scales has 1 entries, but the set has 2 tensors", () => set.SetLearningRateScales([1]));
        Refuses<ArgumentException>("weightDecays has 3 entries", () => set.SetWeightDecays([1, 2, 3]));
        Refuses<ArgumentException>("groups has 0 entries", () => set.SetGroups([]));
        foreach (double bad in new[] { -1, -1e-300, double.NaN, double.PositiveInfinity, 1e39 })
        {
            Refuses<ArgumentOutOfRangeException>("scales[1] is ", () => set.SetLearningRateScales([1, bad]));
            Refuses<ArgumentOutOfRangeException>("weightDecays[0] is ", () => set.SetWeightDecays([bad, null]));
        }

        Refuses<ArgumentOutOfRangeException>("groups[1] is 2; it must be 0 to 1", () => set.SetGroups([0, 2]));
        Refuses<ArgumentOutOfRangeException>("groups[0] is -1", () => set.SetGroups([-1, 0]));
        Refuses<ArgumentOutOfRangeException>("group is 2; it must be 0 to 1", () => set.SetGroup(0, 2));
        Refuses<ArgumentOutOfRangeException>("tensor", () => set.SetGroup(2, 0));
        Assert.Equal((1, 0), (set.GetGroup(0), set.GetGroup(1)));

        using (Model alone = new(3))
        {
            Assert.StartsWith(
                "groups[0] is -3; it must be 0 or more",
                Assert.Throws<ArgumentOutOfRangeException>(() => alone.Set.SetGroups([-3])).Message,
                StringComparison.Ordinal);
        }

        optimizer.Dispose();
        set.Dispose();
        Assert.Throws<ObjectDisposedException>(() => set.SetLearningRateScales([0.5, 2]));
        Assert.Throws<ObjectDisposedException>(() => set.SetWeightDecays([0.5, 2]));
        Assert.Throws<ObjectDisposedException>(() => set.SetGroups([1, 0]));

        void Refuses<TException>(string message, Action action)
            where TException : ArgumentException =>
            Assert.Contains(message, Snapshot.Unchanged<TException>(optimizer, action).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_set_without_tensors_has_nothing_to_set()
    {
        using ParameterSet set = new(Device.Cpu, []);
        using Adam optimizer = new(set);
        set.SetLearningRateScales([]);
        set.SetWeightDecays([]);
        set.SetGroups([]);
        set.Rebind(ReadOnlySpan<nint>.Empty, ReadOnlySpan<nint>.Empty);
        optimizer.Step();
        Assert.Equal(1, optimizer.StepCount);
    }
}
