using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Optimizers;

/// <summary>The step counts of all tensors at once.</summary>
public class StepCountTests
{
    public static TheoryData<string> Names => [.. Rule.All.Select(static rule => rule.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Counts_are_read_and_set_for_each_tensor(string name)
    {
        using Model model = new(5, 7, 3);
        using RuleOptimizer optimizer = new(model.Set, new RuleOptions(name));
        nint[] gradients = [.. Enumerable.Range(0, 3).Select(tensor => Gradient(model, tensor))];
        optimizer.Step();
        model.Set.SetGradients([gradients[0], 0, gradients[2]]);
        optimizer.Step();
        long[] counts = new long[3];
        optimizer.GetStepCounts(counts);
        Assert.Equal([2, 1, 2], counts);

        using Model other = new(5, 7, 3);
        using RuleOptimizer set = new(other.Set, new RuleOptions(name));
        set.SetStepCounts(counts);
        Assert.Equal(2, set.StepCount);
        Assert.Equal(
            optimizer.TensorStates().Select(Snapshot.OfState), set.TensorStates().Select(Snapshot.OfState));
        set.SetStepCounts([0, 0, 0]);
        Assert.Equal([0, 0], [set.StepCount, set.GetStepCount(1)]);
    }

    [Fact]
    public void A_group_is_where_its_farthest_tensor_is()
    {
        using Model model = new([5, 7, 3], [new(), new() { Group = 1 }, new() { Group = 1 }]);
        using Adam optimizer = new(model.Set, [new() { Beta1 = 0.5 }, new() { Beta1 = 0.25 }]);
        optimizer.SetStepCounts([3, 1, 2]);
        Assert.Equal([3, 2], optimizer.Groups.Select(static group => group.StepCount));
        Assert.Equal([0.125, 0.0625], optimizer.Groups.Select(static group => group.Beta1Product));
        Assert.Equal(1, optimizer.GetStepCount(1));
    }

    [Fact]
    public void Reading_allocates_nothing()
    {
        using Model model = new(5, 7, 3);
        using Adam optimizer = new(model.Set);
        long[] counts = new long[3];
        long before = 0;
        for (int step = -5; step < 50; step++)
        {
            before = step == 0 ? GC.GetAllocatedBytesForCurrentThread() : before;
            optimizer.Step();
            optimizer.GetStepCounts(counts);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal([55, 55, 55], counts);
    }

    [Fact]
    public void What_does_not_fit_is_refused_and_nothing_changes()
    {
        using Model model = new(5, 7);
        using Adam optimizer = new(model.Set);
        optimizer.Step();
        Refuses<ArgumentException>("counts has 1 entries, but the set has 2 tensors", () => optimizer.SetStepCounts([1]));
        Refuses<ArgumentException>("counts has 3 entries", () => optimizer.GetStepCounts(new long[3]));
        Refuses<ArgumentOutOfRangeException>("counts[1] is -1; it must be 0 to 2^53", () => optimizer.SetStepCounts([1, -1]));
        Refuses<ArgumentOutOfRangeException>("counts[0] is 9007199254740993", () => optimizer.SetStepCounts([(1L << 53) + 1, 1]));
        optimizer.Dispose();
        Assert.Throws<ObjectDisposedException>(() => optimizer.GetStepCounts(new long[2]));
        Assert.Throws<ObjectDisposedException>(() => optimizer.SetStepCounts([1, 1]));

        void Refuses<TException>(string message, Action action)
            where TException : ArgumentException =>
            Assert.Contains(message, Snapshot.Unchanged<TException>(optimizer, action).Message, StringComparison.Ordinal);
    }

    private static unsafe nint Gradient(Model model, int tensor)
    {
        // The set has pinned it.
        fixed (float* first = model.Gradients[tensor])
        {
            return (nint)first;
        }
    }
}
