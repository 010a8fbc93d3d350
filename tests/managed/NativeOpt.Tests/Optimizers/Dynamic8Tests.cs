using NativeOpt.Interop;
using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Optimizers;

/// <summary>States of 8 bits: which tensors have them, what they stand for, and that everything works with them.</summary>
public unsafe class Dynamic8Tests
{
    // Around blocks; small ones that keep float32; one of several chunks of the sums.
    private static readonly int[] Sizes = [0, 1, 16, 17, 255, 256, 257, 1000, 16_641];

    private static readonly Precision Stored = new(DType.Float32, DType.Float32, DType.Dynamic8);

    public static TheoryData<string> RuleNames => Rules.OptimizerNames;

    public static TheoryData<int> Counts => [0, 1, 255, 256, 257, 512, 1000, 1_000_003];

    [Theory]
    [MemberData(nameof(Counts))]
    public void Bytes_are_those_of_the_native_library(int count)
    {
        foreach (nopt_dtype type in Enum.GetValues<nopt_dtype>())
        {
            long bytes;
            Assert.Equal(nopt_status.NOPT_OK, NativeMethods.nopt_dtype_get_bytes(type, count, &bytes));
            Assert.Equal(bytes, ((DType)type).ByteCount(count));
        }

        Assert.Equal(2 * count, DType.UInt16.ByteCount(count));
    }

    [Fact]
    public void Bytes_of_what_does_not_exist_are_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => DType.Dynamic8.ByteCount(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => default(DType).ByteCount(1));
        Assert.Throws<OverflowException>(() => DType.Dynamic8.ByteCount(long.MaxValue));
        Assert.Throws<OverflowException>(() => DType.BFloat16.ByteCount(long.MaxValue));
    }

    [Theory]
    [InlineData(null, 4096)]
    [InlineData(0L, 0)]
    [InlineData(257L, 257)]
    public void Small_tensors_keep_float32(long? minimum, int expected)
    {
        AdamOptions options = new() { StateType = DType.Dynamic8, Amsgrad = true };
        options = minimum is long own ? options with { MinDynamic8ElementCount = own } : options;
        using Model model = new([.. Sizes, 4095, 4096]);
        using Adam optimizer = new(model.Set, options);
        optimizer.Step();
        long bytes = 0;
        foreach (StateRole role in optimizer.StateRoles)
        {
            for (int tensor = 0; tensor < model.Set.Count; tensor++)
            {
                TensorRef state = optimizer.GetState(role, tensor);
                Assert.Equal(state.ElementCount < expected ? DType.Float32 : DType.Dynamic8, state.DType);
                bytes += (state.DType.ByteCount(state.ElementCount) + 63) / 64 * 64;
            }
        }

        Assert.Equal(bytes, optimizer.AllocatedBytes);
    }

    /// <summary>
    /// A step is the float32 step on the numbers that the states stand for, and these then go to the nearest number of the
    /// code; the largest of a block is its scale.
    /// </summary>
    [Theory]
    [MemberData(nameof(RuleNames))]
    public void Steps_are_float32_steps_on_the_decoded_states(string rule)
    {
        using Model model = new(Sizes);
        using Model floats = new(Sizes);
        using Optimizer optimizer = Stored.Create(rule, model.Set);
        using Optimizer expected = (Stored with { State = DType.Float32 }).Create(rule, floats.Set);
        for (int step = 1; step <= 4; step++)
        {
            ForEachState((role, tensor, _) =>
                Snapshot.Values(optimizer, role, tensor).CopyTo(SinglesOf(expected.GetState(role, tensor))));
            SetGradients(model, step);
            SetGradients(floats, step);
            optimizer.Step();
            expected.Step();
            Assert.Equal(floats.ParameterBytes(), model.ParameterBytes());
            ForEachState((role, tensor, state) =>
            {
                Span<float> exact = SinglesOf(expected.GetState(role, tensor));
                if (state.DType == DType.Float32)
                {
                    Assert.Equal(exact, SinglesOf(state));
                    return;
                }

                bool isSigned = Dynamic8Code.IsSigned(role);
                byte[] bytes = Dynamic8Code.Bytes(state);
                float[] decoded = Snapshot.Values(optimizer, role, tensor);
                for (int begin = 0; begin < exact.Length; begin += 256)
                {
                    ReadOnlySpan<float> own = exact[begin..Math.Min(begin + 256, exact.Length)];
                    (float scale, byte[] codes) = Dynamic8Code.Block(bytes, begin / 256);
                    Assert.Equal(own.ToArray().Max(Math.Abs), scale);
                    Assert.Equal(own.Length, codes.Length);
                    for (int i = 0; i < own.Length; i++)
                    {
                        double part = scale == 0 ? 0 : own[i] / (double)scale;
                        double named = Dynamic8Code.Part(isSigned, codes[i]);

                        // Half way between two numbers, the rounding of the arithmetic in float decides.
                        double bound = Dynamic8Code.DistanceToNearest(isSigned, part) + (2e-6 * Math.Abs(part));
                        Assert.True(Math.Abs(named - part) <= bound, $"{role}: {part} is stored as {named}");
                        Assert.Equal((float)named * scale, decoded[begin + i]);
                    }
                }
            });
        }

        void ForEachState(Action<StateRole, int, TensorRef> act)
        {
            foreach (StateRole role in optimizer.StateRoles)
            {
                for (int tensor = 0; tensor < Sizes.Length; tensor++)
                {
                    act(role, tensor, optimizer.GetState(role, tensor));
                }
            }
        }

        // Of many magnitudes within each block, so that all of the code is met, and 0 where nothing else is near.
        static void SetGradients(Model model, int step)
        {
            model.SetGradients(step);
            foreach (float[] gradient in model.Gradients)
            {
                for (int i = 0; i < gradient.Length; i++)
                {
                    gradient[i] *= MathF.Pow(10, -(i * 7 % 9));
                }
            }
        }
    }

    /// <summary>
    /// The square of a gradient of 1.9e19 is infinite, which no option of gradients looks at. The element begins anew; the
    /// others of its block step as if its gradient had been 0.
    /// </summary>
    [Fact]
    public void A_square_that_overflows_harms_no_other_element()
    {
        float[] parameters = Run(1.9e19f, out byte[] states);
        Assert.Equal(Run(0, out byte[] expected), parameters);
        Assert.Equal(expected, states);

        static float[] Run(float gradient, out byte[] states)
        {
            using Model model = new(256);
            using AdamW optimizer = new(
                model.Set, new AdamWOptions { StateType = DType.Dynamic8, MinDynamic8ElementCount = 0 });
            optimizer.GradientOptions = new GradientOptions { SkipNonFinite = true };
            model.Gradients[0][7] = gradient;
            optimizer.Step();
            Assert.False(optimizer.GetGradientStatus().Skipped);
            model.Step(optimizer, 2, 5);
            states = [.. optimizer.StateRoles.SelectMany(role => Dynamic8Code.Bytes(optimizer.GetState(role, 0)))];
            return model.Parameters[0];
        }
    }

    [Fact]
    public void Every_byte_is_read_as_its_number()
    {
        using Model model = new(1024);
        using Adam optimizer = new(model.Set, new AdamOptions { StateType = DType.Dynamic8, MinDynamic8ElementCount = 0 });
        float[] scales = [1, 3e-5f, 0, float.NaN];
        foreach (StateRole role in optimizer.StateRoles)
        {
            TensorRef state = optimizer.GetState(role, 0);
            Span<byte> bytes = new((void*)state.Pointer, 4 * 260);
            for (int block = 0; block < 4; block++)
            {
                BitConverter.TryWriteBytes(bytes[(260 * block)..], scales[block]);
                for (int code = 0; code < 256; code++)
                {
                    bytes[(260 * block) + 4 + code] = (byte)code;
                }
            }

            float[] values = Snapshot.Values(optimizer, role, 0);
            for (int i = 0; i < values.Length; i++)
            {
                Assert.Equal((float)Dynamic8Code.Part(Dynamic8Code.IsSigned(role), (byte)i) * scales[i / 256], values[i]);
            }
        }
    }

    /// <summary>More than one piece of a copy, and a last block of one element.</summary>
    [Fact]
    public void Large_states_are_copied_whole()
    {
        const int Size = (2 << 20) + 257;
        using Model model = new(Size);
        using Sgd optimizer = new(model.Set, new SgdOptions { Momentum = 0.5, StateType = DType.Dynamic8 });
        optimizer.Step();
        byte[] bytes = Dynamic8Code.Bytes(optimizer.GetState(StateRole.MomentumBuffer, 0));
        float[] values = Snapshot.Values(optimizer, StateRole.MomentumBuffer, 0);
        for (int i = 0; i < Size; i++)
        {
            (float scale, byte code) = (BitConverter.ToSingle(bytes, 260 * (i / 256)), bytes[(260 * (i / 256)) + 4 + (i % 256)]);
            Assert.Equal((float)Dynamic8Code.Part(isSigned: true, code) * scale, values[i]);
            Assert.InRange(values[i] / model.Gradients[0][i], 0.95f, 1.05f);
        }
    }

    [Fact]
    public void What_could_be_read_wrongly_is_refused()
    {
        using Model model = new(300, 20);
        using Adam optimizer = new(model.Set, (AdamOptions)Stored.With(new AdamOptions()));
        TensorRef state = optimizer.GetState(StateRole.ExpAvg, 0);
        float[] values = new float[300];
        Assert.Contains(
            "CopyStateTo", Assert.Throws<NotSupportedException>(() => state.CopyTo(values)).Message, StringComparison.Ordinal);
        Assert.Throws<NotSupportedException>(() => state.CopyBitsTo(new ushort[300]));
        Assert.Contains(
            "has 300 bytes, but the tensor has 308",
            Assert.Throws<ArgumentException>(() => state.CopyBytesTo(new byte[300])).Message,
            StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => optimizer.CopyStateTo(StateRole.ExpAvg, 0, new float[299]));
        Assert.Throws<ArgumentException>(() => optimizer.CopyStateTo(StateRole.MomentumBuffer, 0, values));
        Assert.Throws<ArgumentOutOfRangeException>(() => optimizer.CopyStateTo(StateRole.ExpAvg, 2, values));
        optimizer.Dispose();
        Assert.Throws<ObjectDisposedException>(() => optimizer.CopyStateTo(StateRole.ExpAvg, 0, values));
    }

    [Fact]
    public void Parameters_and_gradients_of_this_type_are_refused()
    {
        using DeviceBuffer<float> memory = new(Device.Cpu, 512);
        TensorRef wrong = TensorRef.FromPointer(memory.Pointer, 256, DType.Dynamic8);
        Refuse<NotSupportedException>("parameters[0] has element type Dynamic8; it must be Float32", () => Create(wrong));
        Refuse<NotSupportedException>(
            "options[0].GradientType has element type Dynamic8",
            () => Create(wrong with { DType = DType.Float32 }, new TensorOptions { GradientType = DType.Dynamic8 }));
        Refuse<NotSupportedException>(
            "tensors[0] has element type Dynamic8", () => OptimizerMemory.Of(new AdamOptions(), [new TensorSpec(1, DType.Dynamic8)]));
        using Model model = new(256);
        Refuse<ArgumentException>("gradients[0] is Dynamic8; it must be Float32", () => model.Set.SetGradients([wrong]));
        Refuse<ArgumentException>("parameters[0] is Dynamic8; it must be Float32", () => model.Set.SetParameters([wrong]));

        static void Create(TensorRef parameter, params TensorOptions[] options)
        {
            using ParameterSet set = new([parameter], options);
        }

        static void Refuse<T>(string message, Action action)
            where T : Exception
        {
            string own = Assert.Throws<T>(action).Message;
            Assert.Contains(message, own, StringComparison.Ordinal);
            Assert.True(typeof(T) != typeof(NotSupportedException) || own.Contains("of states alone", StringComparison.Ordinal));
        }
    }

    [Fact]
    public void The_host_may_own_them()
    {
        MixedTensor[] tensors = [.. new[] { 5, 300, 257 }.Select(static size => new MixedTensor(size, DType.Float32, DType.Float32))];
        SgdOptions options = (SgdOptions)Stored.With(new SgdOptions { Momentum = 0.9 });
        using MixedModel own = new(tensors);
        using Sgd expected = new(own.Set, options);
        own.Step(expected, 1, 4);

        using MixedModel model = new(tensors);
        using Sgd optimizer = new(model.Set, options);
        TensorRef[] buffers =
            [model.Allocate(5, DType.Float32), model.Allocate(300, DType.Dynamic8), model.Allocate(257, DType.Dynamic8)];
        optimizer.BindState(StateRole.MomentumBuffer, buffers);
        model.Step(optimizer, 1, 4);
        Assert.Equal(Snapshot.Of(expected), Snapshot.Of(optimizer));
        Assert.Equal(0, optimizer.AllocatedBytes);

        Refuses("buffers[1] is Float32; it must be Dynamic8", [buffers[0], model.Allocate(300, DType.Float32), buffers[2]]);
        Refuses("buffers[0] is Dynamic8; it must be Float32", [model.Allocate(5, DType.Dynamic8), buffers[1], buffers[2]]);
        Refuses("aligned", [buffers[0], buffers[1], buffers[2] with { Pointer = buffers[2].Pointer + 2 }]);

        void Refuses(string message, TensorRef[] wrong) =>
            Assert.Contains(
                message,
                Snapshot.Unchanged<ArgumentException>(optimizer, () => optimizer.BindState(StateRole.MomentumBuffer, wrong)).Message,
                StringComparison.Ordinal);
    }

    /// <summary>Unscaling, clipping and skipping happen before the states are touched, whatever these are made of.</summary>
    [Fact]
    public void Gradients_are_scaled_clipped_and_skipped()
    {
        using Model model = new(Sizes);
        using Model plain = new(Sizes);
        using Adam optimizer = new(model.Set, (AdamOptions)Stored.With(new AdamOptions()));
        using Adam expected = new(plain.Set, (AdamOptions)Stored.With(new AdamOptions()));
        GradScaler scaler = new(initialScale: 8, growthInterval: 100);
        optimizer.GradientOptions = new GradientOptions { MaxNorm = 0.5 };
        for (int step = 1; step <= 6; step++)
        {
            model.SetGradients(step);
            plain.SetGradients(step);
            double sum = plain.Gradients.Sum(static values => values.Sum(static x => (double)x * x));
            ForEach(model, static (_, x) => 8 * x);

            if (step is 2 or 5)
            {
                model.Gradients[^1][300] = float.NaN;
                string before = Snapshot.Of(optimizer);
                scaler.Step(optimizer);
                Assert.Equal(before, Snapshot.Of(optimizer));
                model.Gradients[^1][300] = 8 * plain.Gradients[^1][300];
                optimizer.GradientOptions = optimizer.GradientOptions! with { LossScale = 8 };
                scaler.Scale = 8;
            }

            scaler.Step(optimizer);
            GradientStatus status = optimizer.GetGradientStatus();
            Assert.Equal(Math.Sqrt(sum), status.Norm, 1e-9 * Math.Sqrt(sum));
            float factor = (float)(status.ClipCoefficient / 8);
            Assert.True(status.ClipCoefficient < 1);
            ForEach(plain, (_, x) => 8 * x * factor);
            expected.Step();
        }

        Assert.Equal(2, optimizer.GetGradientStatus().SkippedSteps);
        Assert.Equal(Snapshot.Of(expected), Snapshot.Of(optimizer));
        scaler.Update();
        Assert.Equal(4, scaler.Scale);

        static void ForEach(Model model, Func<int, float, float> change)
        {
            foreach (float[] gradient in model.Gradients)
            {
                for (int i = 0; i < gradient.Length; i++)
                {
                    gradient[i] = change(i, gradient[i]);
                }
            }
        }
    }

    [Fact]
    public void Frozen_tensors_keep_their_states()
    {
        using MixedModel model = new([.. new[] { 300, 500 }.Select(static size => new MixedTensor(size, DType.Float32, DType.Float32))]);
        using Adam optimizer = new(model.Set, (AdamOptions)Stored.With(new AdamOptions()));
        model.Step(optimizer, 1, 2);
        string frozen = Snapshot.Bits(optimizer.GetState(StateRole.ExpAvgSq, 1));
        string moving = Snapshot.Bits(optimizer.GetState(StateRole.ExpAvgSq, 0));
        model.Set.SetGradients([model.Gradients[0].Pointer, 0]);
        model.Step(optimizer, 3, 4);
        Assert.Equal(frozen, Snapshot.Bits(optimizer.GetState(StateRole.ExpAvgSq, 1)));
        Assert.NotEqual(moving, Snapshot.Bits(optimizer.GetState(StateRole.ExpAvgSq, 0)));
    }

    [Fact]
    public void Steps_allocate_nothing()
    {
        using Model model = new(17, 0, 1000);
        using Adam optimizer = new(model.Set, (AdamOptions)Stored.With(new AdamOptions()));
        long before = 0;
        for (int step = -20; step < 500; step++)
        {
            before = step == 0 ? GC.GetAllocatedBytesForCurrentThread() : before;
            optimizer.Step();
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    /// <summary>
    /// What docs/precision.md warns of: an element whose gradients are a ten-thousandth of the largest of its block has a v that
    /// is stored as 0. Then v is what this step's gradient brings: 0.001 g², and v_hat that divided by 1 - 0.999^181, a 166th of
    /// g². Where the gradient is 0, Adam divides by eps. (m is stored, too, as 0.9 of what it is.)
    /// </summary>
    [Theory]
    [InlineData(nameof(Adam), 1e-4f, 11, 13)]
    [InlineData(nameof(InvAdam), 1e-4f, 0.065, 0.08)]
    [InlineData(nameof(Adam), 0, 8000, 10_000)]
    [InlineData(nameof(InvAdam), 0, 0, 0)]
    public void Small_second_moments_beside_large_ones_are_lost(string rule, float lastGradient, double low, double high)
    {
        double exact = LastStep(DType.Float32), rounded = LastStep(DType.Dynamic8);
        Assert.True(exact < -1e-12);
        Assert.InRange(rounded / exact, low, high);

        double LastStep(DType type)
        {
            using Model model = new(256);
            AmsgradOptions options = rule == nameof(Adam) ? new AdamOptions() : new InvAdamOptions();
            using Optimizer optimizer = Rules.Create(
                model.Set, options with { StateType = type, MinDynamic8ElementCount = type == DType.Dynamic8 ? 0 : 4096 });
            Array.Fill(model.Gradients[0], 1e-4f);
            model.Gradients[0][0] = 1;
            for (int step = 0; step < 180; step++)
            {
                optimizer.Step();
            }

            Assert.Equal(type == DType.Dynamic8, Snapshot.Values(optimizer, StateRole.ExpAvgSq, 0)[100] == 0);
            Assert.NotEqual(0, Snapshot.Values(optimizer, StateRole.ExpAvg, 0)[100]);
            model.Parameters[0][100] = 0;
            model.Gradients[0][100] = lastGradient;
            optimizer.Step();
            return model.Parameters[0][100];
        }
    }

    /// <summary>The next optimizer of a set is not bound by what the one before had.</summary>
    [Fact]
    public void A_set_may_have_states_of_another_type_next()
    {
        using Model fresh = new(Sizes);
        using Adam expected = new(fresh.Set);
        fresh.Step(expected, 1, 3);
        using Model model = new(Sizes);
        using (Adam first = new(model.Set, (AdamOptions)Stored.With(new AdamOptions { LearningRate = 0 })))
        {
            first.LearningRate = 0;
            first.WeightDecay = 0;
            model.Step(first, 1, 2);
        }

        using Adam second = new(model.Set);
        model.Step(second, 1, 3);
        Assert.Equal(Snapshot.Of(expected), Snapshot.Of(second));
    }

    private static Span<float> SinglesOf(TensorRef tensor) => new((void*)tensor.Pointer, (int)tensor.ElementCount);
}
