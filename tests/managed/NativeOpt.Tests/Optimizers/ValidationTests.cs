using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Optimizers;

/// <summary>Every wrong use has its exception, and changes nothing.</summary>
public class ValidationTests
{
    private static readonly double[] NotAtLeastZero =
        [double.NaN, -1, -double.Epsilon, double.PositiveInfinity, double.NegativeInfinity, 1e39];

    private static readonly double[] NotBetas = [double.NaN, -0.1, 1, 1.5, double.PositiveInfinity];

    public static TheoryData<string> OptimizerNames => Rules.OptimizerNames;

    public static TheoryData<string, Func<double, OptimizerOptions>> AtLeastZeroOptions => new()
    {
        { nameof(AdamOptions.LearningRate), value => new AdamOptions { LearningRate = value } },
        { nameof(AdamOptions.WeightDecay), value => new AdamOptions { WeightDecay = value } },
        { nameof(AdamOptions.Epsilon), value => new AdamOptions { Epsilon = value } },
        { nameof(AdamWOptions.WeightDecay), value => new AdamWOptions { WeightDecay = value } },
        { nameof(InvAdamOptions.Epsilon), value => new InvAdamOptions { Epsilon = value } },
        { nameof(DualAdamOptions.SwitchingRate), value => new DualAdamOptions { SwitchingRate = value } },
        { nameof(SgdOptions.LearningRate), value => new SgdOptions { LearningRate = value } },
        { nameof(SgdOptions.Momentum), value => new SgdOptions { Momentum = value } },
    };

    public static TheoryData<string, Func<double, OptimizerOptions>> BetaOptions => new()
    {
        { nameof(AdamOptions.Beta1), value => new AdamOptions { Beta1 = value } },
        { nameof(AdamOptions.Beta2), value => new AdamOptions { Beta2 = value } },
        { nameof(DualAdamOptions.Beta1), value => new DualAdamOptions { Beta1 = value } },
    };

    [Theory]
    [MemberData(nameof(AtLeastZeroOptions))]
    public void Options_below_zero_are_refused(string name, Func<double, OptimizerOptions> options) =>
        RefusesOptions(name, options, NotAtLeastZero);

    [Theory]
    [MemberData(nameof(BetaOptions))]
    public void Betas_outside_0_to_1_are_refused(string name, Func<double, OptimizerOptions> options) =>
        RefusesOptions(name, options, NotBetas);

    /// <summary>Values that are fine as doubles and not as floats; the learning rate of a tensor is a product.</summary>
    [Fact]
    public void Values_that_floats_cannot_hold_are_refused()
    {
        RefusesOptions(nameof(AdamOptions.Epsilon), value => new AdamOptions { Epsilon = value }, [1e-46, 1e-39]);
        RefusesOptions(nameof(AdamOptions.LearningRate), value => new AdamOptions { LearningRate = value }, [1e23]);
        RefusesOptions(nameof(AdamOptions.WeightDecay), value => new AdamOptions { WeightDecay = value }, [1e17]);
        using ParameterSet set = ParameterSet.FromArrays([[1], [2]], [[1], [2]], [new(), new() { LearningRateScale = 1e30 }]);
        using Adam optimizer = new(set, new AdamOptions { LearningRate = 1e-50 });
        optimizer.Step();
        optimizer.LearningRate = 1e10;
        ArgumentException error = Snapshot.Unchanged<ArgumentException>(optimizer, optimizer.Step);
        Assert.Contains("lr is 1e+10 and lr_scale[1] is 1e+30; their product", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Nesterov_needs_momentum()
    {
        using Model model = new(3);
        Assert.Equal("options", Assert.Throws<ArgumentException>(() => new Sgd(model.Set, new SgdOptions { Nesterov = true })).ParamName);
        Assert.Equal(
            "options",
            Assert.Throws<ArgumentException>(
                () => new Sgd(model.Set, new SgdOptions { Nesterov = true, Momentum = 0.5, Dampening = 0.5 })).ParamName);
        using Sgd optimizer = new(model.Set, new SgdOptions { Nesterov = true, Momentum = 0.5 });
        Snapshot.Unchanged<ArgumentException>(optimizer, () => optimizer.Dampening = 0.5);
        Snapshot.Unchanged<ArgumentException>(optimizer, () => optimizer.Momentum = 0);
        Assert.Equal(0.5, optimizer.Momentum);
    }

    [Fact]
    public void Setters_refuse_what_constructors_refuse()
    {
        using Model model = new(3, 0, 4);
        using DualAdam optimizer = new(model.Set);
        optimizer.Step();
        foreach (double value in NotAtLeastZero)
        {
            Refuses(() => optimizer.LearningRate = value);
            Refuses(() => optimizer.WeightDecay = value);
            Refuses(() => optimizer.Epsilon = value);
            Refuses(() => optimizer.SwitchingRate = value);
            Refuses(() => model.Set.SetLearningRateScale(1, value));
            Refuses(() => model.Set.SetWeightDecay(1, value));
        }

        foreach (double value in NotBetas)
        {
            Refuses(() => optimizer.Beta1 = value);
            Refuses(() => optimizer.Beta2 = value);
        }

        foreach (double value in new[] { double.NaN, -0.1, 1.1 })
        {
            Refuses(() => optimizer.Beta1Product = value);
            Refuses(() => optimizer.Beta2Product = value);
        }

        Refuses(() => optimizer.StepCount = -1);
        Refuses(() => model.Set.SetLearningRateScale(3, 1));
        Refuses(() => model.Set.SetWeightDecay(-1, 1));
        Refuses(() => model.Set.GetParameter(3));
        Refuses(() => optimizer.GetState(StateRole.ExpAvg, 3));
        Assert.Equal(
            (1e-3, 0.0, 0.9, 0.999, 1e-8, 8e-5),
            (optimizer.LearningRate, optimizer.WeightDecay, optimizer.Beta1, optimizer.Beta2, optimizer.Epsilon, optimizer.SwitchingRate));

        void Refuses(Action action) => Snapshot.Unchanged<ArgumentOutOfRangeException>(optimizer, action);
    }

    [Fact]
    public void Step_state_can_be_set()
    {
        using Model model = new(1);
        using Adam optimizer = new(model.Set);
        Assert.Equal((0, 1.0, 1.0), (optimizer.StepCount, optimizer.Beta1Product, optimizer.Beta2Product));
        (optimizer.StepCount, optimizer.Beta1Product, optimizer.Beta2Product) = (7, 0.25, 0.75);
        Assert.Equal((7, 0.25, 0.75), (optimizer.StepCount, optimizer.Beta1Product, optimizer.Beta2Product));
        optimizer.Step();
        Assert.Equal((8, 0.25 * 0.9, 0.75 * 0.999), (optimizer.StepCount, optimizer.Beta1Product, optimizer.Beta2Product));
    }

    [Fact]
    public void Nulls_are_refused()
    {
        using Model model = new(1);
        Assert.Throws<ArgumentNullException>(() => new Adam(null!));
        using Adam optimizer = new(model.Set);
        Assert.Throws<ArgumentNullException>(() => optimizer.Save((string)null!));
        Assert.Throws<ArgumentNullException>(() => optimizer.Save((Stream)null!));
        Assert.Throws<ArgumentNullException>(() => optimizer.Load((string)null!));
        Assert.Throws<ArgumentNullException>(() => optimizer.Load((Stream)null!));
    }

    [Theory]
    [MemberData(nameof(OptimizerNames))]
    public void A_set_has_one_optimizer_at_a_time(string name)
    {
        using Model model = new(3);
        Optimizer first = Rules.OneOfEach[name](model.Set);
        InvalidOperationException exception =
            Snapshot.Unchanged<InvalidOperationException>(first, () => Rules.OneOfEach[name](model.Set));
        Assert.Contains("Dispose", exception.Message, StringComparison.Ordinal);
        first.Step();
        first.Dispose();

        // A refused options record must not take the set either.
        Assert.Throws<ArgumentOutOfRangeException>(() => new Adam(model.Set, new AdamOptions { Beta1 = 2 }));
        using Optimizer second = Rules.OneOfEach[name](model.Set);
        Assert.Equal(0, second.StepCount);
        second.Step();
    }

    /// <summary>Addresses of states that are gone must not stay in the set, where they would seem to overlap new buffers.</summary>
    [Fact]
    public void A_disposed_optimizer_lets_its_buffers_go()
    {
        using DeviceBuffer<float> memory = new(Device.Cpu, 3);
        using Model model = new(3);
        Adam first = new(model.Set);
        first.BindState(StateRole.ExpAvgSq, [memory.Pointer]);
        first.Step();
        Assert.Throws<ArgumentException>(() => model.Set.SetGradients([memory.Pointer]));
        first.Dispose();
        model.Set.SetGradients([memory.Pointer]);
        using Sgd second = new(model.Set);
        second.Step();
    }

    /// <summary>An optimizer that nobody disposed of owns its set still; its finalizer must not pull its buffers away.</summary>
    [Fact]
    public void A_forgotten_optimizer_stays_with_its_set()
    {
        using Model model = new(3);
        Forget(model.Set);
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Assert.Throws<InvalidOperationException>(() => new Adam(model.Set));

        [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
        static void Forget(ParameterSet set) => new Adam(set).Step();
    }

    [Fact]
    public void Gradients_are_needed()
    {
        using DeviceBuffer<float> parameter = new(Device.Cpu, 3);
        using ParameterSet set = new([parameter]);
        using Adam optimizer = new(set);
        Assert.Contains(
            "SetGradients",
            Snapshot.Unchanged<InvalidOperationException>(optimizer, optimizer.Step).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Cpu_steps_take_the_default_stream_only()
    {
        using Model model = new(3);
        using Adam optimizer = new(model.Set);
        Snapshot.Unchanged<ArgumentException>(optimizer, () => optimizer.Step(DeviceStream.PerThread));
        Snapshot.Unchanged<ArgumentException>(optimizer, () => optimizer.Step(DeviceStream.FromPointer(64)));
        DeviceStream stream = DeviceStream.Create(Device.Cpu);
        optimizer.Step(stream);
        stream.Dispose();
        Snapshot.Unchanged<ObjectDisposedException>(optimizer, () => optimizer.Step(stream));
    }

    [Fact]
    public void Disposed_optimizers_are_refused()
    {
        using Model model = new(3);
        Adam optimizer = new(model.Set);
        optimizer.Step();
        optimizer.Dispose();
        optimizer.Dispose();
        RefusesEverything<Adam>(optimizer);
        model.Set.SetGradients([model.Set.GetParameter(0).Pointer + 1024]);
    }

    [Fact]
    public void Optimizers_of_a_disposed_set_are_refused()
    {
        using Model model = new(3);
        using Adam optimizer = new(model.Set);
        optimizer.Step();
        model.Set.Dispose();
        model.Set.Dispose();
        RefusesEverything<ParameterSet>(optimizer);
        Assert.Throws<ObjectDisposedException>(() => new Adam(model.Set));
        Assert.Throws<ObjectDisposedException>(() => model.Set.SetGradients([(nint)64]));
        Assert.Throws<ObjectDisposedException>(() => model.Set.SetParameters([(nint)64]));
        Assert.Throws<ObjectDisposedException>(() => model.Set.SetWeightDecay(0, 1));
        Assert.Throws<ObjectDisposedException>(() => model.Set.SetLearningRateScale(0, 1));
        Assert.Equal(1, model.Set.GetLearningRateScale(0));
        Assert.Null(model.Set.GetWeightDecay(0));
    }

    [Fact]
    public void State_can_be_the_hosts()
    {
        using Model ownModel = new(5, 0, 9);
        using Adam own = new(ownModel.Set);
        using Model model = new(5, 0, 9);
        using Adam optimizer = new(model.Set);
        using DeviceBuffer<float> memory = new(Device.Cpu, 64);
        nint[] pointers = [memory.Pointer, 0, memory.Pointer + 128];
        optimizer.BindState(StateRole.ExpAvg, pointers);
        Assert.Equal(pointers[2], optimizer.GetState(StateRole.ExpAvg, 2).Pointer);
        ownModel.Step(own, 1, 3);
        model.Step(optimizer, 1, 3);
        Assert.Equal(Snapshot.Of(own), Snapshot.Of(optimizer));
        Assert.NotEqual(0, memory.AsSpan()[32]);

        // Later, and again: from then on the new buffers count.
        TensorRef[] moved =
        [
            TensorRef.FromPointer(memory.Pointer + 32, 5),
            TensorRef.FromPointer(0, 0),
            TensorRef.FromPointer(memory.Pointer + 192, 9),
        ];
        memory.AsSpan(8, 5).Clear();
        memory.AsSpan(48, 9).Clear();
        optimizer.BindState(StateRole.ExpAvgSq, moved);
        Assert.Equal(new float[5], Snapshot.Values(optimizer.GetState(StateRole.ExpAvgSq, 0)));
        optimizer.Step();
        Assert.NotEqual(0, memory.AsSpan()[8]);
    }

    [Fact]
    public void States_that_do_not_fit_are_refused()
    {
        using DeviceBuffer<float> memory = new(Device.Cpu, 256);
        using Model model = new(5, 9);
        using Adam optimizer = new(model.Set);
        optimizer.Step();
        nint a = memory.Pointer;
        nint parameter = model.Set.GetParameter(0).Pointer;
        nint state = optimizer.GetState(StateRole.ExpAvgSq, 1).Pointer;
        Refuses<ArgumentException>(() => optimizer.BindState(StateRole.MaxExpAvgSq, [a, state]));
        Refuses<ArgumentException>(() => optimizer.BindState(StateRole.MomentumBuffer, [a, a + 64]));
        Refuses<ArgumentException>(() => optimizer.BindState("grad", [a, a + 64]));
        Refuses<ArgumentException>(() => optimizer.BindState("no_such_state", [a, a + 64]));
        Refuses<ArgumentException>(() => optimizer.GetState("no_such_state", 0));
        Refuses<ArgumentException>(() => optimizer.BindState(StateRole.ExpAvg, [a]));
        Refuses<ArgumentException>(() => optimizer.BindState(StateRole.ExpAvg, [a, 0]));
        Refuses<ArgumentException>(() => optimizer.BindState(StateRole.ExpAvg, [a, a + 65]));
        Refuses<ArgumentException>(() => optimizer.BindState(StateRole.ExpAvg, [a, a + 16]));
        Refuses<ArgumentException>(() => optimizer.BindState(StateRole.ExpAvg, [a, parameter]));
        Refuses<ArgumentException>(() => optimizer.BindState(StateRole.ExpAvg, [a, state]));
        Refuses<ArgumentException>(
            () => optimizer.BindState(StateRole.ExpAvg, [TensorRef.FromPointer(a, 5), TensorRef.FromPointer(a + 64, 8)]));
        Refuses<ArgumentException>(
            () => optimizer.BindState(
                StateRole.ExpAvg, [TensorRef.FromPointer(a, 5), TensorRef.FromPointer(a + 64, 9, Device.Cuda())]));

        // A gradient over a state is refused from the other side too.
        Refuses<ArgumentException>(() => model.Set.SetGradients([a, state]));

        void Refuses<TException>(Action action)
            where TException : Exception => Snapshot.Unchanged<TException>(optimizer, action);
    }

    private static void RefusesOptions(string name, Func<double, OptimizerOptions> options, double[] values)
    {
        using Model model = new(3);
        byte[] before = model.ParameterBytes();
        foreach (double value in values)
        {
            ArgumentOutOfRangeException exception =
                Assert.Throws<ArgumentOutOfRangeException>(() => Create(model.Set, options(value)));
            Assert.Equal(("options", value), (exception.ParamName, exception.ActualValue));
            Assert.StartsWith(name + " is ", exception.Message, StringComparison.Ordinal);
        }

        Assert.Equal(before, model.ParameterBytes());

        // The bounds themselves are allowed.
        using Optimizer optimizer = Create(model.Set, options(0));
    }

    private static Optimizer Create(ParameterSet set, OptimizerOptions options) => options switch
    {
        AdamOptions adam => new Adam(set, adam),
        AdamWOptions adamW => new AdamW(set, adamW),
        InvAdamOptions invAdam => new InvAdam(set, invAdam),
        DualAdamOptions dualAdam => new DualAdam(set, dualAdam),
        SgdOptions sgd => new Sgd(set, sgd),
        _ => throw new ArgumentException(options.ToString()),
    };

    private static void RefusesEverything<TNamed>(Adam optimizer)
    {
        using MemoryStream stream = new();
        Action[] uses =
        [
            optimizer.Step,
            () => optimizer.Step(DeviceStream.Default),
            () => optimizer.LearningRate = 1,
            () => optimizer.Beta1 = 0.5,
            () => _ = optimizer.StepCount,
            () => optimizer.StepCount = 1,
            () => optimizer.Beta1Product = 1,
            () => _ = optimizer.StateRoles,
            () => optimizer.GetState(StateRole.ExpAvg, 0),
            () => optimizer.BindState(StateRole.ExpAvg, [(nint)64]),
            () => optimizer.Save(stream),
            () => optimizer.Load(stream),
            () => optimizer.Save(Path.Combine(Path.GetTempPath(), "never-written.safetensors")),
        ];
        Assert.All(uses, use => Assert.Equal(typeof(TNamed).FullName, Assert.Throws<ObjectDisposedException>(use).ObjectName));
        Assert.Equal(0, stream.Length);
    }
}
