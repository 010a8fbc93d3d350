using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Dimer;

/// <summary>A dimer over parameters of 16 bits: its backups have the types of what they back up.</summary>
public class MixedDimerTests
{
    // Long enough for one buffer to run into the next if it were allocated too short.
    private static readonly MixedTensor[] Tensors =
    [
        new(200, DType.BFloat16, DType.Float32), new(300, DType.BFloat16, DType.BFloat16), new(0, DType.Float32, DType.Float32),
        new(150, DType.Float32, DType.BFloat16), new(100, DType.BFloat16, DType.Float16),
    ];

    private static readonly DimerOptions Options = new() { Displacement = 0.5, Interval = 2 };

    public static TheoryData<MasterWeights> AllMasterWeights => [.. Enum.GetValues<MasterWeights>()];

    [Theory]
    [MemberData(nameof(AllMasterWeights))]
    public void Restores_bit_for_bit(MasterWeights master)
    {
        using MixedModel model = new(Tensors);
        using Adam optimizer = new(model.Set, new AdamOptions { MasterWeights = master, StateType = DType.BFloat16 });
        using DimerOptimizer dimer = new(optimizer, Options with { Angle = RotationAngle.Optimal });
        byte[] before = model.ParameterBytes();
        float[] second = Snapshot.Values(model.Parameters[1]);

        // The first thing of all: master weights must not begin as displaced parameters.
        dimer.Displace();
        byte[] displaced = model.ParameterBytes();
        Assert.NotEqual(before, displaced);
        if (master != MasterWeights.None)
        {
            Assert.Throws<InvalidOperationException>(() => optimizer.ResetMasterWeights());
        }

        if (master == MasterWeights.Float32)
        {
            Assert.Equal(second, Snapshot.Values(optimizer.GetState(StateRole.MasterParam, 1)));
        }

        dimer.Restore();
        Assert.Equal(before, model.ParameterBytes());
    }

    /// <summary>On the loss sum(c x²)/2, whose gradients are computed from the rounded parameters.</summary>
    [Theory]
    [InlineData(RotationAngle.FixedRate)]
    [InlineData(RotationAngle.Optimal)]
    [InlineData(RotationAngle.Conjugate)]
    public void Remainders_give_the_bits_of_master_weights(RotationAngle angle)
    {
        byte[][] masters = Run(MasterWeights.Float32), remainders = Run(MasterWeights.Remainder);
        Assert.Equal(masters, remainders);
        Assert.NotEqual(masters, Run(MasterWeights.None));
        Assert.NotEqual(masters[0], masters[^1]);

        byte[][] Run(MasterWeights master)
        {
            using MixedModel model = new(Tensors);
            using Adam optimizer = new(model.Set, new AdamOptions { LearningRate = 0.01, MasterWeights = master });
            using DimerOptimizer dimer = new(optimizer, Options with { Angle = angle });
            List<byte[]> parameters = [];
            for (int step = 0; step < 12; step++)
            {
                dimer.Step(() => Gradients(model));
                parameters.Add(model.ParameterBytes());
            }

            return [.. parameters];
        }
    }

    /// <summary>The direction of the smallest curvature is found through parameters and gradients of any type.</summary>
    [Theory]
    [InlineData(DType.BFloat16)]
    [InlineData(DType.Float16)]
    public void Finds_the_smallest_curvature(DType type)
    {
        using MixedModel model = new(new MixedTensor(20, type, DType.Float32), new MixedTensor(10, DType.Float32, type));
        using Sgd optimizer = new(model.Set, new SgdOptions { LearningRate = 0 });
        using DimerOptimizer dimer = new(
            optimizer,
            new DimerOptions { Displacement = 0.5, Interval = 1, Angle = RotationAngle.Optimal, RotationsPerUpdate = 4 });
        for (int step = 0; step < 20; step++)
        {
            dimer.Step(() => Gradients(model));
        }

        // Curvatures are 1, 2, 3 and -0.5, the last of every fourth element; 8 bits of precision leave a few hundredths.
        Assert.InRange(dimer.GetStatus().Curvature, -0.55, -0.45);
    }

    [Fact]
    public void Displaced_gradients_have_the_gradients_types()
    {
        using MixedModel model = new(Tensors);
        using Adam optimizer = new(model.Set);
        using DimerOptimizer dimer = new(optimizer, Options);
        TensorRef[] displaced = [.. Tensors.Select(tensor => model.Allocate(tensor.Size, tensor.GradientType))];
        TensorRef[] wrong = [.. displaced];
        wrong[0] = model.Allocate(200, DType.BFloat16);
        Assert.Contains(
            "gradients[0] is BFloat16; it must be Float32",
            Assert.Throws<ArgumentException>(() => dimer.SetDisplacedGradients(wrong)).Message,
            StringComparison.Ordinal);
        dimer.SetDisplacedGradients(displaced);
        dimer.Displace();
        dimer.Step();
        Assert.Equal(1, dimer.StepCount);
    }

    private static float Gradients(MixedModel model)
    {
        double loss = 0;
        for (int tensor = 0; tensor < model.Tensors.Length; tensor++)
        {
            float[] x = Snapshot.Values(model.Parameters[tensor]);
            float[] gradient = [.. x.Select(static (value, i) => (float)(Curvature(i) * value))];
            MixedModel.Write(model.Gradients[tensor], gradient);
            loss += x.Zip(gradient, static (a, b) => 0.5 * a * b).Sum();
        }

        return (float)loss;
    }

    private static double Curvature(int element) => element % 4 == 3 ? -0.5 : (element % 4) + 1;
}
