using System.Runtime.CompilerServices;
using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Dimer;

/// <summary>Who owns what, in whatever order it ends.</summary>
public class LifetimeTests
{
    private static readonly DimerOptions Options = new() { Interval = 2, Displacement = 0.5, Angle = RotationAngle.Optimal };

    /// <summary>The dimer, its optimizer and the set in every order.</summary>
    public static TheoryData<string> Orders => ["dos", "dso", "ods", "osd", "sdo", "sod"];

    [Fact]
    public void Describes_itself()
    {
        using DimerSetup setup = new();
        Assert.Same(setup.Optimizer, setup.Dimer.Optimizer);
        Assert.Equal(new DimerOptions(), setup.Dimer.Options);
        Assert.Equal((0L, 0L, 1), (setup.Dimer.StepCount, setup.Dimer.GradientEvaluations, setup.Dimer.ScopeCount));
        Assert.Equal((false, true), (setup.Dimer.IsDisplaced, setup.Dimer.NeedsDisplacedGradient));
        using DimerSetup perTensor = new(new DimerOptions { Scope = DimerScope.PerTensor });
        Assert.Equal(DimerSetup.Sizes.Length, perTensor.Dimer.ScopeCount);
    }

    [Fact]
    public void Nulls_are_refused()
    {
        Assert.Equal("optimizer", Assert.Throws<ArgumentNullException>(() => new DimerOptimizer(null!)).ParamName);
        using DimerSetup setup = new();
        Refuses(() => setup.Dimer.Options = null!);
        Refuses(() => setup.Dimer.SetDirection(null!));
        Refuses(() => setup.Dimer.Save((string)null!));
        Refuses(() => setup.Dimer.Save((Stream)null!));
        Refuses(() => setup.Dimer.Load((string)null!));
        Refuses(() => setup.Dimer.Load((Stream)null!));

        void Refuses(Action action) => DimerSnapshot.Unchanged<ArgumentNullException>(setup.Dimer, action);
    }

    [Fact]
    public void There_is_no_scope_or_tensor_beyond_the_last()
    {
        foreach (DimerScope scope in Enum.GetValues<DimerScope>())
        {
            using DimerSetup setup = new(new DimerOptions { Scope = scope });
            foreach (int index in new[] { -1, int.MinValue, int.MaxValue })
            {
                Refuses(() => setup.Dimer.GetStatus(index));
                Refuses(() => setup.Dimer.GetDirection(index));
            }

            Refuses(() => setup.Dimer.GetStatus(setup.Dimer.ScopeCount));
            Refuses(() => setup.Dimer.GetDirection(setup.Model.Set.Count));

            void Refuses(Action action) => DimerSnapshot.Unchanged<ArgumentOutOfRangeException>(setup.Dimer, action);
        }
    }

    [Fact]
    public void A_disposed_dimer_is_refused_and_its_optimizer_goes_on()
    {
        using DimerSetup setup = new(Options);
        using DimerSetup plain = new(Options with { Alpha = 0 });
        setup.Dimer.Dispose();
        setup.Dimer.Dispose();
        RefusesEverything<DimerOptimizer>(setup);
        for (int step = 0; step < 3; step++)
        {
            setup.Loss.Closure();
            setup.Optimizer.Step();
        }

        plain.Step(3);
        Assert.Equal(Snapshot.Of(plain.Optimizer), Snapshot.Of(setup.Optimizer));
        setup.Optimizer.Save(Stream.Null);
    }

    [Fact]
    public void Dimers_of_a_disposed_optimizer_or_set_are_refused()
    {
        using (DimerSetup setup = new(Options))
        {
            setup.Step(1);
            setup.Optimizer.Dispose();
            RefusesEverything<Adam>(setup);
            Assert.Throws<ObjectDisposedException>(() => new DimerOptimizer(setup.Optimizer));
        }

        using (DimerSetup setup = new(Options))
        {
            setup.Step(1);
            setup.Model.Set.Dispose();
            RefusesEverything<ParameterSet>(setup);
            Assert.Throws<ObjectDisposedException>(() => new DimerOptimizer(setup.Optimizer));
        }
    }

    [Fact]
    public void A_set_has_one_dimer_at_a_time()
    {
        using Model model = new(3, 4);
        using Adam optimizer = new(model.Set);
        DimerOptimizer first = new(optimizer, Options);
        InvalidOperationException exception = Assert.Throws<InvalidOperationException>(() => new DimerOptimizer(optimizer, Options));
        Assert.Contains("Dispose", exception.Message, StringComparison.Ordinal);

        // The refused one took nothing with it.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        first.Step(() => 1);
        Assert.Throws<InvalidOperationException>(() => new DimerOptimizer(optimizer, Options));
        first.Dispose();

        // Refused options must not take the set either.
        Assert.Throws<ArgumentOutOfRangeException>(() => new DimerOptimizer(optimizer, new DimerOptions { Interval = 0 }));
        using DimerOptimizer second = new(optimizer, Options with { Scope = DimerScope.PerTensor });
        Assert.Equal((0L, true), (second.StepCount, second.NeedsDisplacedGradient));
        second.Step(() => 1);
        Assert.Equal((1L, 2L), (second.StepCount, optimizer.StepCount));
    }

    /// <summary>Its direction is of the set, not of the optimizer.</summary>
    [Fact]
    public void The_dimer_of_an_optimizer_that_is_gone_has_its_set_still()
    {
        using Model model = new(3, 4);
        Adam first = new(model.Set);
        DimerOptimizer dimer = new(first, Options);
        dimer.Step(() => 1);
        first.Dispose();
        using Sgd second = new(model.Set);
        second.Step();
        Assert.Throws<InvalidOperationException>(() => new DimerOptimizer(second));
        dimer.Dispose();
        using DimerOptimizer next = new(second, Options);
        next.Step(() => 1);
        Assert.Equal(2, second.StepCount);
    }

    [Theory]
    [MemberData(nameof(Orders))]
    public void Disposal_in_any_order_lets_all_go(string order)
    {
        foreach (bool displaced in new[] { false, true })
        {
            foreach (bool stepped in new[] { false, true })
            {
                WeakReference array = Run(order, displaced, stepped);
                GC.Collect();
                Assert.False(array.IsAlive);
            }
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        static WeakReference Run(string order, bool displaced, bool stepped)
        {
            float[] parameter = [1, 2, 3];
            ParameterSet set = ParameterSet.FromArrays([parameter], [new float[] { 4, 5, 6 }]);
            Adam optimizer = new(set);
            DimerOptimizer dimer = new(optimizer, Options with { Interval = 1 });
            if (stepped)
            {
                dimer.Step(() => 1);
            }

            float[] before = [.. parameter];
            if (displaced)
            {
                dimer.Displace();
                Assert.NotEqual(before, parameter);
            }

            Dictionary<char, IDisposable> all = new() { ['d'] = dimer, ['o'] = optimizer, ['s'] = set };
            foreach (char next in order)
            {
                all[next].Dispose();
            }

            // Once the set is gone, the parameters are the host's alone.
            if (order.IndexOf('d') < order.IndexOf('s'))
            {
                Assert.Equal(before, parameter);
            }

            return new WeakReference(parameter);
        }
    }

    [Fact]
    public void Disposing_while_displaced_restores_every_bit()
    {
        foreach (int displacements in new[] { 1, 2 })
        {
            using DimerSetup setup = new(Options);
            setup.Step(2);
            string before = Snapshot.Of(setup.Optimizer);
            for (int i = 0; i < displacements; i++)
            {
                setup.Dimer.Displace();
                setup.Loss.Closure();
            }

            Assert.NotEqual(before, Snapshot.Of(setup.Optimizer));
            setup.Dimer.Dispose();
            Assert.False(setup.Dimer.IsDisplaced);
            Assert.Equal(before, Snapshot.Of(setup.Optimizer));
            setup.Optimizer.Save(Stream.Null);
            setup.Optimizer.Step();
            using DimerOptimizer next = new(setup.Optimizer, Options);
            next.Step(setup.Loss.Closure);
        }
    }

    /// <summary>Addresses of buffers that are gone must not stay in the set, where they would seem to overlap new ones.</summary>
    [Fact]
    public void A_disposed_dimer_lets_its_buffers_go()
    {
        using DeviceBuffer<float> memory = new(Device.Cpu, 3);
        using Model model = new(3);
        using Adam optimizer = new(model.Set);
        DimerOptimizer dimer = new(optimizer);
        dimer.SetDisplacedGradients([memory.Pointer]);
        nint direction = dimer.GetDirection(0).Pointer;
        dimer.Step(() => 1);
        Assert.Throws<ArgumentException>(() => model.Set.SetGradients([direction]));
        Assert.Throws<ArgumentException>(() => optimizer.BindState(StateRole.ExpAvg, [memory.Pointer]));
        dimer.Dispose();
        model.Set.SetGradients([direction]);
        optimizer.BindState(StateRole.ExpAvg, [memory.Pointer]);
        optimizer.Step();
    }

    /// <summary>As a forgotten optimizer: its finalizer must not pull buffers away while the set is in use.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_forgotten_dimer_stays_with_its_set(bool displaced)
    {
        using Model model = new(3);
        using Adam optimizer = new(model.Set);
        Forget(optimizer, displaced);
        for (int i = 0; i < 3; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.Throws<InvalidOperationException>(() => new DimerOptimizer(optimizer));
        if (displaced)
        {
            Assert.Throws<InvalidOperationException>(optimizer.Step);
        }
        else
        {
            optimizer.Step();
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        static void Forget(Adam optimizer, bool displaced)
        {
            DimerOptimizer dimer = new(optimizer, Options with { Interval = 1 });
            dimer.Step(() => 1);
            if (displaced)
            {
                dimer.Displace();
            }
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Arrays_are_let_go_when_all_is_forgotten(bool displaced)
    {
        WeakReference array = Run(displaced);
        for (int i = 0; i < 10 && array.IsAlive; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.False(array.IsAlive);

        [MethodImpl(MethodImplOptions.NoInlining)]
        static WeakReference Run(bool displaced)
        {
            float[] parameter = new float[3];
            DimerOptimizer dimer = new(
                new Adam(ParameterSet.FromArrays([parameter], [new float[3]])), Options with { Interval = 1 });
            dimer.Step(() => 1);
            if (displaced)
            {
                dimer.Displace();
            }

            return new WeakReference(parameter);
        }
    }

    /// <summary>Finalizers of many dimers, in whatever order, beside others that are in use.</summary>
    [Fact]
    public void Forgotten_dimers_disturb_nobody()
    {
        using DimerSetup kept = new(Options);
        using DimerSetup twin = new(Options);
        for (int round = 0; round < 10; round++)
        {
            Forget(round);
            GC.Collect();
            kept.Step(1);
        }

        GC.WaitForPendingFinalizers();
        kept.Step(2);
        twin.Step(12);
        Assert.Equal(DimerSnapshot.Of(twin.Dimer), DimerSnapshot.Of(kept.Dimer));

        [MethodImpl(MethodImplOptions.NoInlining)]
        static void Forget(int round)
        {
            for (int i = 0; i < 20; i++)
            {
                DimerOptimizer dimer = new(
                    new DualAdam(ParameterSet.FromArrays([new float[100]], [new float[100]])), Options with { Interval = 1 });
                dimer.Step(() => 1);
                if ((i + round) % 3 == 0)
                {
                    dimer.Displace();
                }

                if (i % 5 == 0)
                {
                    dimer.Optimizer.Dispose();
                }
            }
        }
    }

    private static void RefusesEverything<TNamed>(DimerSetup setup)
    {
        DimerOptimizer dimer = setup.Dimer;
        using MemoryStream stream = new();
        using DeviceBuffer<float> memory = new(Device.Cpu, 21);
        TensorRef whole = memory;
        string path = Path.Combine(Path.GetTempPath(), "never-written.safetensors");
        int evaluations = setup.Loss.Evaluations;
        byte[] parameters = setup.Model.ParameterBytes();
        Action[] uses =
        [
            dimer.Step,
            () => dimer.Step(DeviceStream.Default),
            () => dimer.Step(setup.Loss.Closure),
            dimer.Displace,
            () => dimer.Displace(DeviceStream.Default),
            dimer.Restore,
            () => dimer.Restore(DeviceStream.Default),
            () => dimer.SetDisplacedGradients([.. DimerSetup.Sizes.Select(_ => memory.Pointer)]),
            () => dimer.SetDisplacedGradients([.. DimerSetup.Sizes.Select(size => whole with { ElementCount = size })]),
            () => dimer.GetStatus(),
            () => dimer.GetDirection(0),
            () => dimer.SetDirection(setup.Model.Gradients),
            () => dimer.Save(stream),
            () => dimer.Save(path),
            () => dimer.Load(stream),
            () => dimer.Options = dimer.Options with { Alpha = 1 },
        ];
        Assert.All(uses, use => Assert.Equal(typeof(TNamed).FullName, Assert.Throws<ObjectDisposedException>(use).ObjectName));
        Assert.Equal((0, evaluations), (stream.Length, setup.Loss.Evaluations));
        Assert.False(File.Exists(path));
        Assert.Equal(parameters, setup.Model.ParameterBytes());

        // What is still known.
        Assert.False(dimer.IsDisplaced);
        Assert.Equal(1, dimer.ScopeCount);
    }
}
