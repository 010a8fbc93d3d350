using System.Runtime.CompilerServices;
using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Parameters;

public class ParameterSetTests
{
    [Fact]
    public void Describes_its_tensors()
    {
        using DeviceBuffer<float> a = new(Device.Cpu, 3);
        using DeviceBuffer<float> b = new(Device.Cpu, 0);
        using ParameterSet set = new([a, b], [new() { Name = "weight" }, new()]);
        Assert.Equal((Device.Cpu, 2, 3L), (set.Device, set.Count, set.TotalElementCount));
        Assert.Equal(["weight", "1"], set.Names);
        Assert.Equal([3, 0], set.ElementCounts.ToArray());
        Assert.Equal(new TensorRef(a.Pointer, 3, DType.Float32, Device.Cpu), set.GetParameter(0));
    }

    [Fact]
    public void Refuses_parameters_that_do_not_fit()
    {
        using DeviceBuffer<float> memory = new(Device.Cpu, 64);
        nint a = memory.Pointer;
        Refuses<ArgumentException>("device", []);
        Refuses<ArgumentException>("is null", [TensorRef.FromPointer(0, 3)]);
        Refuses<ArgumentException>("aligned", [TensorRef.FromPointer(a + 2, 3)]);
        Refuses<ArgumentException>("overlaps", [TensorRef.FromPointer(a, 3), TensorRef.FromPointer(a + 8, 3)]);
        Refuses<ArgumentException>("element_counts[1]", [TensorRef.FromPointer(a, 3), TensorRef.FromPointer(a, -1)]);
        Refuses<ArgumentException>(
            "parameters[1] is on cuda:0, but the set is on cpu",
            [TensorRef.FromPointer(a, 3), TensorRef.FromPointer(a + 64, 3, Device.Cuda())]);
        Refuses<NotSupportedException>("Float32", [default]);

        static void Refuses<TException>(string message, TensorRef[] parameters)
            where TException : Exception =>
            Assert.Contains(message, Assert.Throws<TException>(() => new ParameterSet(parameters)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Refuses_options_that_do_not_fit()
    {
        Refuses<ArgumentException>("options has 1", new TensorOptions());
        Refuses<ArgumentException>("options[1] is null", new(), null!);
        Refuses<ArgumentException>("options[1].Name is empty", new(), new() { Name = "" });
        Refuses<ArgumentException>("\"a\"", new() { Name = "a" }, new() { Name = "a" });
        Refuses<ArgumentException>("\"1\"", new() { Name = "1" }, new());
        Refuses<ArgumentOutOfRangeException>("options[0].LearningRateScale is -1", new() { LearningRateScale = -1 }, new());
        Refuses<ArgumentOutOfRangeException>("options[1].WeightDecay is NaN", new(), new() { WeightDecay = double.NaN });

        // -1 is how the native library spells "inherit"; from users it is an error.
        Refuses<ArgumentOutOfRangeException>("options[0].WeightDecay is -1", new() { WeightDecay = -1 }, new());

        static void Refuses<TException>(string message, params TensorOptions[] options)
            where TException : Exception
        {
            float[] a = [1], b = [2];
            Assert.Contains(
                message,
                Assert.Throws<TException>(() => ParameterSet.FromArrays([a, b], [a, b], options)).Message,
                StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_parameter_without_a_gradient_stays()
    {
        using Model model = new(5, 9);
        using Adam optimizer = new(model.Set);
        optimizer.Step();
        float[] parameter = [.. model.Parameters[1]];
        float[] moment = new float[9];
        optimizer.GetState(StateRole.ExpAvg, 1).CopyTo(moment);
        float[] other = [.. model.Parameters[0]];
        using DeviceBuffer<float> gradient = new(Device.Cpu, 5);
        gradient.Fill(1);
        model.Set.SetGradients([gradient.Pointer, 0]);
        optimizer.Step();
        Assert.Equal(parameter, model.Parameters[1]);
        float[] after = new float[9];
        optimizer.GetState(StateRole.ExpAvg, 1).CopyTo(after);
        Assert.Equal(moment, after);
        Assert.All(other.Zip(model.Parameters[0]), static pair => Assert.NotEqual(pair.First, pair.Second));
        Assert.Equal(2, optimizer.StepCount);

        optimizer.Dispose();
        using Sgd sgd = new(model.Set);
        using DimerOptimizer dimer = new(sgd);
        Assert.Throws<NotSupportedException>(() => dimer.Step(() => 1f));
    }

    [Fact]
    public void Refuses_gradients_that_do_not_fit()
    {
        using DeviceBuffer<float> memory = new(Device.Cpu, 64);
        using Model model = new(5, 9);
        using Sgd optimizer = new(model.Set, new SgdOptions { LearningRate = 1 });
        ParameterSet set = model.Set;
        nint a = memory.Pointer;
        nint parameter = set.GetParameter(1).Pointer;
        Refuses<ArgumentException>("gradients has 1", () => set.SetGradients([a]));
        Refuses<ArgumentException>("gradients has 3", () => set.SetGradients([a, a, a]));
        Refuses<ArgumentException>("aligned", () => set.SetGradients([a, a + 33]));
        Refuses<ArgumentException>("overlaps", () => set.SetGradients([a, parameter]));
        Refuses<ArgumentException>("overlaps", () => set.SetGradients([parameter + 32, a]));
        Refuses<ArgumentException>("gradients has 1", () => set.SetGradients([TensorRef.FromPointer(a, 5)]));
        Refuses<ArgumentException>(
            "gradients[1] has 8 elements, but the parameter has 9",
            () => set.SetGradients([TensorRef.FromPointer(a, 5), TensorRef.FromPointer(a, 8)]));
        Refuses<ArgumentException>(
            "gradients[0] is on cuda:1",
            () => set.SetGradients([TensorRef.FromPointer(a, 5, Device.Cuda(1)), TensorRef.FromPointer(a, 9)]));
        Refuses<NotSupportedException>(
            "gradients[0]",
            () => set.SetGradients([TensorRef.FromPointer(a, 5) with { DType = (DType)9 }, TensorRef.FromPointer(a, 9)]));
        Refuses<ArgumentException>("overlaps", () => set.SetParameters([a, a + 16]));
        Refuses<ArgumentException>("parameters has 1", () => set.SetParameters([a]));
        Refuses<ArgumentException>(
            "parameters[0] has 4", () => set.SetParameters([TensorRef.FromPointer(a, 4), TensorRef.FromPointer(a + 64, 9)]));

        // The refused ones left the good ones in place. Gradients may share memory with each other.
        float[] expected = [.. model.Parameters[1].Zip(model.Gradients[1], (p, g) => p - g)];
        optimizer.Step();
        Assert.Equal(expected, model.Parameters[1]);
        set.SetGradients([a, a + 4]);

        void Refuses<TException>(string message, Action action)
            where TException : Exception =>
            Assert.Contains(message, Snapshot.Unchanged<TException>(optimizer, action).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Follows_moved_parameters_and_gradients()
    {
        using DeviceBuffer<float> memory = new(Device.Cpu, 8);
        using Model model = new(2);
        float[] before = [.. model.Parameters[0]];
        using Sgd optimizer = new(model.Set, new SgdOptions { LearningRate = 1 });
        memory.CopyFrom([10, 20, 30, 40, 1, 2, 3, 4]);
        model.Set.SetParameters([memory.Pointer]);
        model.Set.SetGradients([memory.Pointer + 16]);
        optimizer.Step();
        model.Set.SetParameters([TensorRef.FromPointer(memory.Pointer + 8, 2)]);
        model.Set.SetGradients([TensorRef.FromPointer(memory.Pointer + 24, 2)]);
        optimizer.Step();
        Assert.Equal([9, 18, 27, 36, 1, 2, 3, 4], memory.AsSpan().ToArray());
        Assert.Equal(before, model.Parameters[0]);
        Assert.Equal(memory.Pointer + 8, model.Set.GetParameter(0).Pointer);
    }

    [Fact]
    public void Refuses_arrays_that_do_not_fit()
    {
        float[] a = [1, 2], b = [3];
        Assert.Throws<ArgumentNullException>(() => ParameterSet.FromArrays(null!, [a]));
        Assert.Throws<ArgumentNullException>(() => ParameterSet.FromArrays([a], null!));
        Assert.Throws<ArgumentException>(() => ParameterSet.FromArrays([a, null!], [a, b]));
        Assert.Throws<ArgumentException>(() => ParameterSet.FromArrays([a], [null!]));
        Assert.Throws<ArgumentException>(() => ParameterSet.FromArrays([a], []));
        Assert.Throws<ArgumentException>(() => ParameterSet.FromArrays([a], [b]));
        Assert.Throws<ArgumentException>(() => ParameterSet.FromArrays([a], [a]));
        Assert.Throws<ArgumentException>(() => ParameterSet.FromArrays([a, a], [b, b]));
        Assert.Equal([1, 2], a);
        using ParameterSet none = ParameterSet.FromArrays([], []);
        Assert.Equal(0, none.Count);
    }

    /// <summary>Arrays that were not pinned would move: garbage lies between them, and the heap is compacted.</summary>
    [Fact]
    public void Arrays_stay_in_place_under_garbage_collection()
    {
        (float[][] parameters, float[][] gradients) = ScatteredArrays();
        using ParameterSet set = ParameterSet.FromArrays(parameters, gradients);
        using Sgd optimizer = new(set, new SgdOptions { LearningRate = 1 });
        for (int step = 0; step < 5; step++)
        {
            GC.Collect(2, GCCollectionMode.Aggressive, blocking: true, compacting: true);
            for (int i = 0; i < parameters.Length; i++)
            {
                Assert.Equal(set.GetParameter(i).Pointer, AddressOf(parameters[i]));
            }

            optimizer.Step();
        }

        for (int i = 0; i < parameters.Length; i++)
        {
            Assert.Equal(Enumerable.Repeat(i - 5f, 50), parameters[i]);
        }
    }

    /// <summary>The test above would pass if nothing moved anyway.</summary>
    [Fact]
    public void Arrays_that_are_not_pinned_move()
    {
        (float[][] parameters, _) = ScatteredArrays();
        nint[] before = [.. parameters.Select(AddressOf)];
        GC.Collect(2, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        Assert.NotEqual(before, parameters.Select(AddressOf));
    }

    [Fact]
    public void Arrays_are_let_go_when_all_is_disposed_of()
    {
        WeakReference array = Run();
        GC.Collect();
        Assert.False(array.IsAlive);

        [MethodImpl(MethodImplOptions.NoInlining)]
        static WeakReference Run()
        {
            float[] parameter = new float[3];
            ParameterSet set = ParameterSet.FromArrays([parameter], [new float[3]]);
            Adam optimizer = new(set);
            optimizer.Step();

            // In the wrong order, which is allowed.
            set.Dispose();
            optimizer.Dispose();
            return new WeakReference(parameter);
        }
    }

    [Fact]
    public void Arrays_are_let_go_when_all_is_forgotten()
    {
        WeakReference array = Run();
        for (int i = 0; i < 10 && array.IsAlive; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.False(array.IsAlive);

        [MethodImpl(MethodImplOptions.NoInlining)]
        static WeakReference Run()
        {
            float[] parameter = new float[3];
            Adam optimizer = new(ParameterSet.FromArrays([parameter], [new float[3]]));
            optimizer.Step();
            return new WeakReference(parameter);
        }
    }

    [Fact]
    public void Arrays_are_let_go_when_the_set_is_refused()
    {
        WeakReference array = Run();
        GC.Collect();
        Assert.False(array.IsAlive);

        [MethodImpl(MethodImplOptions.NoInlining)]
        static WeakReference Run()
        {
            float[] parameter = new float[3];
            Assert.Throws<ArgumentException>(() => ParameterSet.FromArrays([parameter], [new float[4]]));
            Assert.Throws<ArgumentException>(() => ParameterSet.FromArrays([parameter], [parameter]));
            Assert.Throws<ArgumentException>(
                () => ParameterSet.FromArrays([parameter], [new float[3]], [new() { Name = "" }]));
            return new WeakReference(parameter);
        }
    }

    [Fact]
    public void Buffers_stay_as_long_as_their_set()
    {
        (ParameterSet set, WeakReference buffer) = Run();
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Assert.True(buffer.IsAlive);
        using (Adam optimizer = new(set))
        {
            optimizer.Step();
        }

        set.Dispose();
        GC.KeepAlive(set);

        [MethodImpl(MethodImplOptions.NoInlining)]
        static (ParameterSet Set, WeakReference Buffer) Run()
        {
            DeviceBuffer<float> gradient = new(Device.Cpu, 3);
            return (ParameterSet.FromBuffers([new(Device.Cpu, 3)], [gradient]), new WeakReference(gradient));
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static (float[][] Parameters, float[][] Gradients) ScatteredArrays()
    {
        float[][] parameters = new float[200][];
        float[][] gradients = new float[200][];
        byte[][] garbage = new byte[200][];
        for (int i = 0; i < parameters.Length; i++)
        {
            garbage[i] = new byte[1000];
            parameters[i] = [.. Enumerable.Repeat((float)i, 50)];
            gradients[i] = [.. Enumerable.Repeat(1f, 50)];
        }

        return (parameters, gradients);
    }

    private static unsafe nint AddressOf(float[] array)
    {
        fixed (float* first = array)
        {
            return (nint)first;
        }
    }
}
