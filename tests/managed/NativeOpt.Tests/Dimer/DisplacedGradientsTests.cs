using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Dimer;

/// <summary>Hosts that keep both gradients save the dimer a copy, and get the same bits.</summary>
public class DisplacedGradientsTests
{
    private static readonly DimerOptions Options = new() { Interval = 2, Displacement = 0.5, RotationRate = 0.4 };

    public static TheoryData<RotationAngle, int, DimerScope> Cases => new()
    {
        { RotationAngle.FixedRate, 1, DimerScope.Global },
        { RotationAngle.FixedRate, 2, DimerScope.PerTensor },
        { RotationAngle.Optimal, 1, DimerScope.PerTensor },
        { RotationAngle.Optimal, 2, DimerScope.Global },
        { RotationAngle.Conjugate, 2, DimerScope.PerTensor },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void Give_the_same_bits(RotationAngle angle, int rotations, DimerScope scope)
    {
        DimerOptions options = Options with { Angle = angle, RotationsPerUpdate = rotations, Scope = scope };
        using DimerSetup expected = new(options);
        using DimerSetup setup = new(options);
        using Buffers buffers = new();

        // From the first step on; later, in place of the copy; and in each step anew.
        expected.Step(5);
        setup.Dimer.SetDisplacedGradients(buffers.Tensors);
        for (int step = 0; step < 5; step++)
        {
            Step(setup, buffers);
        }

        Assert.Equal(DimerSnapshot.Of(expected.Dimer), DimerSnapshot.Of(setup.Dimer));
        expected.Step(2);
        expected.Dimer.SetDisplacedGradients(buffers.Pointers);
        Step(expected, buffers);
        for (int step = 0; step < 3; step++)
        {
            setup.Dimer.SetDisplacedGradients(buffers.Pointers);
            Step(setup, buffers);
        }

        Assert.Equal(DimerSnapshot.Of(expected.Dimer), DimerSnapshot.Of(setup.Dimer));
    }

    /// <summary>A closure asks the dimer where its gradients belong.</summary>
    [Fact]
    public void Can_be_computed_by_a_closure()
    {
        using DimerSetup expected = new(Options);
        expected.Step(5);
        using DimerSetup setup = new(Options);
        using Buffers buffers = new();
        setup.Dimer.SetDisplacedGradients(buffers.Tensors);
        for (int step = 0; step < 5; step++)
        {
            setup.Dimer.Step(() => setup.Dimer.IsDisplaced ? buffers.Compute(setup) : setup.Loss.Closure());
        }

        Assert.Equal(DimerSnapshot.Of(expected.Dimer), DimerSnapshot.Of(setup.Dimer));
    }

    /// <summary>They may move within an update, as a framework's do.</summary>
    [Fact]
    public void May_move_while_displaced()
    {
        DimerOptions options = Options with { Angle = RotationAngle.Optimal };
        using DimerSetup expected = new(options);
        expected.Step(3);
        using DimerSetup setup = new(options);
        using Buffers first = new();
        using Buffers second = new();
        setup.Dimer.SetDisplacedGradients(first.Tensors);
        for (int step = 0; step < 3; step++)
        {
            setup.Loss.Closure();
            bool odd = false;
            while (setup.Dimer.NeedsDisplacedGradient)
            {
                setup.Dimer.Displace();
                Buffers used = odd ? first : second;
                used.Compute(setup);
                setup.Dimer.SetDisplacedGradients(used.Tensors);
                (odd ? second : first).Clear();
                odd = !odd;
            }

            setup.Dimer.Step();
        }

        Assert.Equal(DimerSnapshot.Of(expected.Dimer), DimerSnapshot.Of(setup.Dimer));
    }

    /// <summary>Which is what it is for.</summary>
    [Fact]
    public void Leave_the_gradients_as_they_are()
    {
        using DimerSetup setup = new(Options);
        using Buffers buffers = new();
        setup.Dimer.SetDisplacedGradients(buffers.Tensors);
        setup.Loss.Closure();
        float[][] gradients = [.. setup.Model.Gradients.Select(values => values.ToArray())];
        setup.Dimer.Displace();
        buffers.Compute(setup);
        float[][] displaced = buffers.Values;
        setup.Dimer.Step();
        Assert.Equal(gradients, setup.Model.Gradients);
        Assert.Equal(displaced, buffers.Values);
    }

    /// <summary>The copy that the update needs is there already.</summary>
    [Fact]
    public void Cannot_begin_within_an_update()
    {
        using DimerSetup setup = new(Options);
        using Buffers buffers = new();
        setup.Loss.Closure();
        setup.Dimer.Displace();
        DimerSnapshot.Unchanged<InvalidOperationException>(setup.Dimer, () => setup.Dimer.SetDisplacedGradients(buffers.Tensors));
        setup.Loss.Closure();
        setup.Dimer.Step();
        setup.Dimer.SetDisplacedGradients(buffers.Tensors);
        setup.Loss.Closure();
        setup.Dimer.Step();
        Step(setup, buffers);
        using DimerSetup expected = new(Options);
        expected.Step(3);
        Assert.Equal(DimerSnapshot.Of(expected.Dimer), DimerSnapshot.Of(setup.Dimer));
    }

    [Fact]
    public void Must_fit()
    {
        using DimerSetup setup = new(Options);
        setup.Step(1);
        using DeviceBuffer<float> memory = new(Device.Cpu, 100);
        nint a = memory.Pointer;
        nint parameter = setup.Model.Set.GetParameter(3).Pointer;
        nint state = setup.Optimizer.GetState(StateRole.ExpAvg, 3).Pointer;
        nint direction = setup.Dimer.GetDirection(3).Pointer;
        TensorRef whole = memory;
        TensorRef[] good = [.. DimerSetup.Sizes.Select(size => whole with { ElementCount = size })];
        RefusesPointers("gradients has 3", a, a, a);
        RefusesPointers("gradients has 5", a, a, a, a, a);
        RefusesPointers("gradients has 0");
        RefusesPointers("is null", a, 0, a, 0);
        RefusesPointers("aligned", a, 0, a, a + 2);
        RefusesPointers("overlaps", a, 0, a, parameter);
        RefusesPointers("overlaps", parameter + 32, 0, a, a);
        RefusesPointers("overlaps", a, 0, a, state);
        RefusesPointers("overlaps", a, 0, a, direction + 4);
        RefusesTensors("gradients has 3", good[..3]);
        RefusesTensors("gradients[2] has 4 elements, but the parameter has 5", [good[0], good[1], good[2] with { ElementCount = 4 }, good[3]]);
        RefusesTensors("gradients[1] is on cuda:0", [good[0], good[1] with { Device = Device.Cuda() }, good[2], good[3]]);
        Assert.Contains(
            "gradients[3]",
            DimerSnapshot.Unchanged<NotSupportedException>(
                setup.Dimer,
                () => setup.Dimer.SetDisplacedGradients([good[0], good[1], good[2], good[3] with { DType = (DType)9 }])).Message,
            StringComparison.Ordinal);

        // The refused ones changed nothing: the dimer copies gradients still.
        using DimerSetup expected = new(Options);
        expected.Step(4);
        setup.Step(3);
        Assert.Equal(DimerSnapshot.Of(expected.Dimer), DimerSnapshot.Of(setup.Dimer));

        void RefusesPointers(string message, params nint[] gradients) =>
            Refuses(message, () => setup.Dimer.SetDisplacedGradients(gradients));

        void RefusesTensors(string message, TensorRef[] gradients) =>
            Refuses(message, () => setup.Dimer.SetDisplacedGradients(gradients));

        void Refuses(string message, Action action) => Assert.Contains(
            message, DimerSnapshot.Unchanged<ArgumentException>(setup.Dimer, action).Message, StringComparison.Ordinal);
    }

    /// <summary>One step of a host that evaluates displaced gradients into the buffers.</summary>
    private static void Step(DimerSetup setup, Buffers buffers)
    {
        setup.Loss.Closure();
        while (setup.Dimer.NeedsDisplacedGradient)
        {
            setup.Dimer.Displace();
            buffers.Compute(setup);
        }

        setup.Dimer.Step();
    }

    /// <summary>A second set of gradients for <see cref="DimerSetup"/>.</summary>
    private sealed class Buffers : IDisposable
    {
        private readonly DeviceBuffer<float>[] _buffers = [.. DimerSetup.Sizes.Select(size => new DeviceBuffer<float>(Device.Cpu, size))];

        public TensorRef[] Tensors => [.. _buffers.Select(TensorRef.FromDeviceBuffer)];

        public nint[] Pointers => [.. _buffers.Select(buffer => buffer.Pointer)];

        public float[][] Values => [.. _buffers.Select(buffer => buffer.AsSpan().ToArray())];

        /// <summary>Computes the gradients at the parameters as they are; the model's own stay.</summary>
        public float Compute(DimerSetup setup)
        {
            float[][] own = [.. setup.Model.Gradients.Select(values => values.ToArray())];
            float loss = setup.Loss.Closure();
            for (int i = 0; i < own.Length; i++)
            {
                _buffers[i].CopyFrom(setup.Model.Gradients[i]);
                own[i].CopyTo(setup.Model.Gradients[i], 0);
            }

            return loss;
        }

        public void Clear()
        {
            foreach (DeviceBuffer<float> buffer in _buffers)
            {
                buffer.Fill(float.NaN);
            }
        }

        public void Dispose()
        {
            foreach (DeviceBuffer<float> buffer in _buffers)
            {
                buffer.Dispose();
            }
        }
    }
}
