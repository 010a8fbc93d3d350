using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Optimizers;

/// <summary>Parameters, gradients and states of 16 bits: what a step makes of them, bit for bit as far as that is defined.</summary>
public class PrecisionTests
{
    private static readonly int[] Sizes = [0, 37, 5, 300];

    // All types in one set, with an empty tensor.
    private static readonly MixedTensor[] AllTypes =
    [
        new(37, DType.BFloat16, DType.BFloat16), new(20, DType.Float32, DType.Float16), new(0, DType.BFloat16, DType.Float32),
        new(33, DType.Float16, DType.BFloat16), new(300, DType.BFloat16, DType.Float32), new(9, DType.Float32, DType.Float32),
    ];

    public static TheoryData<string> Mixes => [.. Precision.All.Keys];

    public static TheoryData<string> RuleNames => Rules.OptimizerNames;

    public static TheoryData<string> NamesWithReference => [.. Precision.NamesWithReference];

    [Theory]
    [MemberData(nameof(Mixes))]
    public void Equals_the_papers_equations_rounded(string mix)
    {
        Precision precision = Precision.All[mix];
        foreach (string rule in Precision.NamesWithReference)
        {
            using MixedModel model = new(precision.Tensors(Sizes));
            using Optimizer optimizer = precision.Create(rule, model.Set);
            CompareSteps(rule, precision, model, optimizer);
        }
    }

    [Theory]
    [MemberData(nameof(NamesWithReference))]
    public void Tensors_of_one_set_have_types_of_their_own(string rule)
    {
        foreach (MasterWeights master in new[] { MasterWeights.None, MasterWeights.Float32 })
        {
            Precision precision = new(default, default, DType.BFloat16, master);
            using MixedModel model = new(AllTypes);
            using Optimizer optimizer = precision.Create(rule, model.Set);
            CompareSteps(rule, precision, model, optimizer);
        }
    }

    /// <summary>A remainder is another way to store the same float32, so all that follows is the same.</summary>
    [Theory]
    [MemberData(nameof(RuleNames))]
    public void Remainders_give_the_bits_of_master_weights(string rule)
    {
        Precision precision = new(DType.BFloat16, DType.BFloat16, DType.BFloat16);
        using MixedModel a = new(precision.Tensors(0, 7, 4099));
        using MixedModel b = new(precision.Tensors(0, 7, 4099));
        using Optimizer masters = (precision with { MasterWeights = MasterWeights.Float32 }).Create(rule, a.Set);
        using Optimizer remainders = (precision with { MasterWeights = MasterWeights.Remainder }).Create(rule, b.Set);
        int beyond = 0;
        for (int step = 1; step <= 50; step++)
        {
            a.Step(masters, step, step);
            b.Step(remainders, step, step);
            for (int tensor = 0; tensor < 3; tensor++)
            {
                ushort[] parameter = MixedModel.Bits(b.Parameters[tensor]).ToArray();
                Assert.Equal(MixedModel.Bits(a.Parameters[tensor]).ToArray(), parameter);
                ushort[] remainder = MixedModel.Bits(remainders.GetState(StateRole.ParamRemainder, tensor)).ToArray();
                Assert.Equal(
                    Snapshot.Values(masters.GetState(StateRole.MasterParam, tensor)), parameter.Zip(remainder, Rounding.Join));
                beyond += remainder.Count(static bits => bits != 0);
            }
        }

        Assert.True(beyond > 50 * 4000, $"only {beyond} remainders are not 0");
    }

    /// <summary>The point of master weights: updates that are too small for a bfloat16 add up.</summary>
    [Fact]
    public void Small_updates_add_up_with_master_weights_alone()
    {
        Assert.Equal(1, After(MasterWeights.None));
        Assert.Equal(1.25, After(MasterWeights.Float32));
        Assert.Equal(1.25, After(MasterWeights.Remainder));

        static float After(MasterWeights master)
        {
            using MixedModel model = new(new MixedTensor(1, DType.BFloat16, DType.Float32));
            MixedModel.Write(model.Parameters[0], [1]);
            MixedModel.Write(model.Gradients[0], [-1.0f / 1024]);
            using Sgd optimizer = new(model.Set, new SgdOptions { LearningRate = 1, MasterWeights = master });
            for (int step = 0; step < 256; step++)
            {
                optimizer.Step();
            }

            return Snapshot.Values(model.Parameters[0])[0];
        }
    }

    /// <summary>What docs/precision.md warns of: a decay of less than half the spacing of bfloat16 is rounded away.</summary>
    [Theory]
    [InlineData(DType.Float32, 0.999, 0.368)]
    [InlineData(DType.BFloat16, 0.99, 0)]
    [InlineData(DType.BFloat16, 0.999, 1)]
    public void Second_moments_in_bfloat16_need_a_smaller_beta2(DType type, double beta2, double left)
    {
        using MixedModel model = new(new MixedTensor(1, DType.Float32, DType.Float32));
        using Adam optimizer = new(model.Set, new AdamOptions { Beta2 = beta2, StateType = type });
        optimizer.Step();
        float before = Snapshot.Values(optimizer.GetState(StateRole.ExpAvgSq, 0))[0];
        MixedModel.Write(model.Gradients[0], [0]);
        for (int step = 0; step < 1000; step++)
        {
            optimizer.Step();
        }

        Assert.Equal(left, Snapshot.Values(optimizer.GetState(StateRole.ExpAvgSq, 0))[0] / before, 1e-3);
    }

    [Fact]
    public void Stochastic_rounding_is_reproducible()
    {
        Precision precision = Precision.All["BFloat16 gradient=Float32 state=Float32 master=None stochastic=True"];
        byte[] first = Run(5), again = Run(5), other = Run(6);
        Assert.Equal(first, again);
        Assert.NotEqual(first, other);

        byte[] Run(ulong seed)
        {
            using MixedModel model = new(precision.Tensors(1000));
            using Adam optimizer = new(model.Set, new AdamOptions { StochasticRounding = true, RoundingSeed = seed });
            model.Step(optimizer, 1, 3);
            return model.ParameterBytes();
        }
    }

    /// <summary>
    /// Of n numbers a fraction f of the way from one bfloat16 to the next, f go up: within 4 standard deviations of the mean,
    /// each of sqrt(f (1 - f) / n). The seeds are fixed, so it holds always or never.
    /// </summary>
    [Theory]
    [InlineData(0.1)]
    [InlineData(0.3)]
    [InlineData(0.5)]
    [InlineData(0.77)]
    public void Stochastic_rounding_is_right_on_average(double fraction)
    {
        const int Elements = 200_000;
        const double Spacing = 1.0 / 128; // of bfloat16 from 1 to 2
        double bound = 4 * Math.Sqrt(fraction * (1 - fraction) / Elements);
        foreach (double sign in new[] { 1, -1 })
        {
            using MixedModel model = new(new MixedTensor(Elements, DType.BFloat16, DType.Float32));
            MixedModel.Write(model.Gradients[0], Filled(Elements, -sign * fraction * Spacing));
            using Sgd optimizer = new(
                model.Set, new SgdOptions { LearningRate = 1, StochasticRounding = true, RoundingSeed = 12 });
            float[] before = [];
            for (int step = 0; step < 4; step++)
            {
                MixedModel.Write(model.Parameters[0], Filled(Elements, sign));
                optimizer.Step();
                float[] after = Snapshot.Values(model.Parameters[0]);
                Assert.All(after, value => Assert.True(value == sign || value == sign * (1 + Spacing)));
                Assert.InRange((Math.Abs(after.Average(static x => (double)x)) - 1) / Spacing, fraction - bound, fraction + bound);
                Assert.NotEqual(before, after); // every step has numbers of its own
                before = after;
            }
        }
    }

    /// <summary>Steps of a 64th of the spacing: rounding to nearest never moves, this one walks there.</summary>
    [Fact]
    public void Stochastic_rounding_lets_small_updates_add_up()
    {
        const int Elements = 20_000;
        const int Steps = 256;
        const double Fraction = 1.0 / 64;
        using MixedModel model = new(new MixedTensor(Elements, DType.BFloat16, DType.Float32));
        MixedModel.Write(model.Parameters[0], Filled(Elements, 1));
        MixedModel.Write(model.Gradients[0], Filled(Elements, -Fraction / 128));
        using Sgd optimizer = new(model.Set, new SgdOptions { LearningRate = 1, StochasticRounding = true });
        for (int step = 0; step < Steps; step++)
        {
            optimizer.Step();
        }

        double bound = 4 * Math.Sqrt(Steps * Fraction * (1 - Fraction) / Elements);
        double moved = (Snapshot.Values(model.Parameters[0]).Average(static x => (double)x) - 1) * 128;
        Assert.InRange(moved, (Steps * Fraction) - bound, (Steps * Fraction) + bound);
    }

    [Fact]
    public void Steps_allocate_nothing()
    {
        Precision precision = new(DType.BFloat16, DType.Float16, DType.BFloat16, MasterWeights.Remainder);
        using MixedModel model = new(precision.Tensors(17, 0, 101));
        using Optimizer optimizer = precision.Create(nameof(Adam), model.Set);
        TensorRef[] remainders = [.. model.Tensors.Select(tensor => model.Allocate(tensor.Size, DType.UInt16))];
        long before = 0;
        for (int step = -20; step < 500; step++)
        {
            if (step == 0)
            {
                before = GC.GetAllocatedBytesForCurrentThread();
            }

            model.Set.SetGradients(model.Gradients);
            optimizer.Step();
            optimizer.BindState(StateRole.ParamRemainder, remainders);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    /// <summary>States of a set are those of its present optimizer, whatever the one before had.</summary>
    [Fact]
    public void The_next_optimizer_of_a_set_may_have_other_types()
    {
        using MixedModel fresh = new(AllTypes);
        using Adam expected = new(fresh.Set);
        fresh.Step(expected, 1, 3);

        using MixedModel model = new(AllTypes);
        Optimizer first = new Adam(
            model.Set, new AdamOptions { StateType = DType.BFloat16, MasterWeights = MasterWeights.Float32 });
        model.Step(first, 1, 2);
        first.Dispose();
        Assert.Throws<ObjectDisposedException>(() => first.GetState(StateRole.MasterParam, 0));
        Assert.Throws<ObjectDisposedException>(() => first.ResetMasterWeights());
        model.ResetParameters();
        using Adam second = new(model.Set);
        Assert.Equal([StateRole.ExpAvg, StateRole.ExpAvgSq], second.StateRoles);
        model.Step(second, 1, 3);
        Assert.Equal(Snapshot.Of(expected), Snapshot.Of(second));
    }

    private static float[] Filled(int count, double value)
    {
        float[] values = new float[count];
        Array.Fill(values, (float)value);
        return values;
    }

    /// <summary>
    /// Takes steps, and compares each with the equations in double from the same stored numbers. What is stored must be the
    /// rounding of a number so near to the equations' as float32 arithmetic is; for nearly all numbers of 16 bits that leaves
    /// one.
    /// </summary>
    private static void CompareSteps(string rule, Precision precision, MixedModel model, Optimizer optimizer)
    {
        Reference reference = Precision.ReferenceOf(rule);
        int rounded = 0, undecided = 0;
        for (int step = 1; step <= 6; step++)
        {
            model.SetGradients(step);
            Reference.Element[][] elements = [.. model.Tensors.Select((_, tensor) => Elements(model, optimizer, tensor))];
            optimizer.Step();
            for (int tensor = 0; tensor < elements.Length; tensor++)
            {
                DType type = model.Tensors[tensor].Type;
                Reference.Element[] after = Elements(model, optimizer, tensor);
                float[] gradients = Snapshot.Values(model.Gradients[tensor]);
                for (int i = 0; i < after.Length; i++)
                {
                    Reference.Element e = elements[tensor][i];
                    double g = gradients[i], theta = e.Theta, size = Math.Abs(g) + Math.Abs(theta), sizeOfSquare = e.V + (size * size);
                    double sizeOfSum = size + Math.Abs(e.M) + Math.Abs(e.Buffer);
                    reference.Step(e, g, step);
                    foreach (StateRole role in StateTransfer.RulesStates(optimizer).Select(static state => state.Role))
                    {
                        bool isSquare = role == StateRole.ExpAvgSq || role == StateRole.MaxExpAvgSq;
                        RequireRounded(
                            precision.State, State(e, role), State(after[i], role), isSquare ? sizeOfSquare : sizeOfSum, role);
                    }

                    double sizeOfTheta = Math.Abs(theta) + Math.Abs(e.Theta - theta);
                    if (precision.Stochastic)
                    {
                        double error = sizeOfTheta * Math.Pow(2, -22);
                        Assert.InRange(
                            after[i].Theta, Rounding.Around(e.Theta - error).Down, Rounding.Around(e.Theta + error).Up);
                    }
                    else
                    {
                        bool isLong = precision.MasterWeights != MasterWeights.None;
                        RequireRounded(isLong ? DType.Float32 : type, e.Theta, after[i].Theta, sizeOfTheta, null);
                    }

                    if (precision.MasterWeights != MasterWeights.None && type != DType.Float32)
                    {
                        ushort bits = MixedModel.Bits(model.Parameters[tensor])[i];
                        ushort expected = type == DType.BFloat16
                            ? Rounding.AwayFromZero(after[i].Theta)
                            : Rounding.BitsOf(type, after[i].Theta);
                        Assert.Equal(expected, bits);
                    }
                }
            }
        }

        Assert.True(undecided <= 0.05 * rounded, $"{undecided} of {rounded} numbers could round either way");

        void RequireRounded(DType type, double expected, double actual, double size, StateRole? role)
        {
            double error = size * Math.Pow(2, -22);
            double low = Rounding.ToNearest(type, expected - error);
            double high = Rounding.ToNearest(type, expected + error);
            Assert.True(
                actual >= low && actual <= high, $"{role?.ToString() ?? "theta"}: {actual}, not {expected} as {type}");
            if (type != DType.Float32)
            {
                rounded++;
                undecided += low == high ? 0 : 1;
            }
        }
    }

    private static double State(Reference.Element element, StateRole role) => Rules.StateOf(element, role);

    /// <summary>What a tensor's elements are before a step: the parameter in full, and its states.</summary>
    private static Reference.Element[] Elements(MixedModel model, Optimizer optimizer, int tensor)
    {
        float[] theta = Snapshot.Values(model.Parameters[tensor]);
        if (StateOf(StateRole.MasterParam) is { Length: > 0 } master)
        {
            theta = master;
        }
        else if (optimizer.StateRoles.Contains(StateRole.ParamRemainder))
        {
            ushort[] remainder = MixedModel.Bits(optimizer.GetState(StateRole.ParamRemainder, tensor)).ToArray();
            theta = [.. MixedModel.Bits(model.Parameters[tensor]).ToArray().Zip(remainder, Rounding.Join)];
        }

        float[]? m = StateOf(StateRole.ExpAvg), v = StateOf(StateRole.ExpAvgSq), max = StateOf(StateRole.MaxExpAvgSq);
        float[]? buffer = StateOf(StateRole.MomentumBuffer);
        return
        [
            .. theta.Select((value, i) => new Reference.Element
            {
                Theta = value,
                M = m?[i] ?? 0,
                V = v?[i] ?? 0,
                VMax = max?[i] ?? 0,
                Buffer = buffer?[i] ?? 0,
            }),
        ];

        float[]? StateOf(StateRole role) =>
            optimizer.StateRoles.Contains(role) ? Snapshot.Values(optimizer.GetState(role, tensor)) : null;
    }
}
