using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Optimizers;

/// <summary>Parameters that the host wrote after their master weights were made, which the next step would overwrite.</summary>
public class StaleMasterWeightsTests
{
    private const string Message = "Element 0 of tensor 1 (\"1\") is not what its master weight rounds to";

    private static readonly MixedTensor[] Tensors =
    [
        new(7, DType.Float32, DType.Float32), new(5, DType.BFloat16, DType.BFloat16), new(0, DType.BFloat16, DType.BFloat16),
        new(9, DType.Float16, DType.Float16),
    ];

    private static readonly SgdOptions Options =
        new() { LearningRate = 0.01, Momentum = 0.5, MasterWeights = MasterWeights.Float32 };

    /// <summary>What makes the master weights before the first step.</summary>
    public static TheoryData<string> Makers => ["GetState", "Save", "TorchState", "CopyStateTo", "dimer"];

    [Theory]
    [MemberData(nameof(Makers))]
    public void The_first_step_refuses_parameters_that_were_loaded_after_the_masters_were_made(string maker)
    {
        using MixedModel fresh = new(Tensors);
        fresh.ResetParameters(2000);
        using Sgd expected = new(fresh.Set, Options);
        fresh.Step(expected, 1, 2);

        using MixedModel model = new(Tensors);
        using Sgd optimizer = new(model.Set, Options);
        using DimerOptimizer? dimer = maker == "dimer" ? new DimerOptimizer(optimizer) : null;
        switch (maker)
        {
            case "GetState":
                _ = optimizer.GetState(StateRole.MomentumBuffer, 0);
                break;
            case "Save":
                optimizer.Save(Stream.Null);
                break;
            case "TorchState":
                TorchState.Save(optimizer, Stream.Null);
                break;
            case "dimer":
                dimer!.Save(Stream.Null);
                break;
            default:
                optimizer.CopyStateTo(StateRole.MasterParam, 1, new float[5]);
                break;
        }

        model.ResetParameters(2000);
        string refusal = Snapshot.Unchanged<InvalidOperationException>(
            optimizer, () => model.Step(optimizer, 1, 1)).Message;
        Assert.Contains(Message, refusal, StringComparison.Ordinal);
        Assert.Contains("Call ResetMasterWeights", refusal, StringComparison.Ordinal);
        if (dimer is not null)
        {
            Assert.Contains(Message, Assert.Throws<InvalidOperationException>(dimer.Displace).Message, StringComparison.Ordinal);
            Assert.False(dimer.IsDisplaced);
        }

        Assert.Equal([1, 3], optimizer.FindStaleMasterWeights());
        optimizer.ResetMasterWeights();
        Assert.Empty(optimizer.FindStaleMasterWeights());
        model.Step(optimizer, 1, 2);
        Assert.Equal(fresh.ParameterBytes(), model.ParameterBytes());
    }

    [Fact]
    public void Masters_of_the_host_that_were_not_filled_are_refused()
    {
        using MixedModel model = new(Tensors);
        using Sgd optimizer = new(model.Set, Options);
        optimizer.BindState(
            StateRole.MasterParam,
            [TensorRef.FromPointer(0, 0), model.Allocate(5, DType.Float32), TensorRef.FromPointer(0, 0), model.Allocate(9, DType.Float32)]);
        Assert.Contains(
            Message, Snapshot.Unchanged<InvalidOperationException>(optimizer, optimizer.Step).Message, StringComparison.Ordinal);
        optimizer.ResetMasterWeights();
        optimizer.Step();
    }

    /// <summary>A file holds master weights and parameters of one moment, or it is not written.</summary>
    [Fact]
    public void Save_refuses_parameters_that_do_not_fit()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("state");
        using MixedModel model = new(Tensors);
        using Sgd optimizer = new(model.Set, Options);
        model.Step(optimizer, 1, 2);
        optimizer.Save(path);
        byte[] saved = File.ReadAllBytes(path);
        MixedModel.Bits(model.Parameters[3])[8] ^= 1;
        Assert.Contains(
            "Element 8 of tensor 3 (\"3\") is not what its master weight rounds to",
            Snapshot.Unchanged<InvalidOperationException>(optimizer, () => optimizer.Save(path)).Message,
            StringComparison.Ordinal);
        Assert.Equal(saved, File.ReadAllBytes(path));
        Assert.Equal([3], optimizer.FindStaleMasterWeights());
        MixedModel.Bits(model.Parameters[3])[8] ^= 1;
        optimizer.Save(path);
        Assert.Equal(saved, File.ReadAllBytes(path));
    }

    /// <summary>The host loads the parameters before or after the state, but it loads them.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void The_step_after_a_load_refuses_parameters_that_are_not_the_files(bool isOfTorch)
    {
        using MixedModel model = new(Tensors);
        using Sgd saved = new(model.Set, Options);
        model.Step(saved, 1, 3);
        byte[] parameters = model.ParameterBytes();
        using MemoryStream file = new();
        using MixedModel other = new(Tensors);
        using Sgd loaded = new(other.Set, Options);
        other.Step(loaded, 11, 12);
        if (isOfTorch)
        {
            // There are no master weights in the file: these have to be made anew.
            TorchState.Save(saved, file);
            file.Position = 0;
            TorchState.Load(loaded, file);
            CopyParameters(model, other);
        }
        else
        {
            saved.Save(file);
            file.Position = 0;
            loaded.Load(file);
        }

        Assert.Contains(
            Message,
            Snapshot.Unchanged<InvalidOperationException>(loaded, () => other.Step(loaded, 4, 4)).Message,
            StringComparison.Ordinal);
        if (isOfTorch)
        {
            loaded.ResetMasterWeights();
            other.Step(loaded, 4, 4);
            return;
        }

        CopyParameters(model, other);
        Assert.Equal(parameters, other.ParameterBytes());
        model.Step(saved, 4, 6);
        other.Step(loaded, 4, 6);
        Assert.Equal(Snapshot.Of(saved), Snapshot.Of(loaded));
    }

    [Fact]
    public void The_step_after_a_take_over_refuses_parameters_that_do_not_fit()
    {
        using MixedModel model = new(Tensors);
        using Sgd previous = new(model.Set, Options);
        model.Step(previous, 1, 3);
        using MixedModel other = new(Tensors);
        using Sgd next = new(other.Set, Options);
        next.TakeOver(previous);
        Assert.Contains(
            Message, Snapshot.Unchanged<InvalidOperationException>(next, next.Step).Message, StringComparison.Ordinal);
        CopyParameters(model, other);
        model.Step(previous, 4, 4);
        other.Step(next, 4, 4);
        Assert.Equal(model.ParameterBytes(), other.ParameterBytes());
    }

    /// <summary>
    /// Ties, which bfloat16 beside a master has away from zero, NaNs, infinities and what overflows float16; a remainder fits any
    /// parameter.
    /// </summary>
    [Fact]
    public void What_steps_leave_is_never_stale()
    {
        using MixedModel model = new(Tensors);
        using Sgd optimizer = new(model.Set, Options with { LearningRate = 1 });
        float[] wild = [float.NaN, float.PositiveInfinity, 1e30f, -70_000, 1e-40f, -0.0f, 1, 2, 3];
        foreach (int tensor in new[] { 1, 3 })
        {
            MixedModel.Write(model.Gradients[tensor], wild.AsSpan(0, Tensors[tensor].Size));
        }

        optimizer.Step();
        optimizer.Step();
        Assert.Empty(optimizer.FindStaleMasterWeights());
        optimizer.Save(Stream.Null);

        using MixedModel half = new(new MixedTensor(300, DType.BFloat16, DType.BFloat16));
        using Sgd remainders = new(half.Set, Options with { MasterWeights = MasterWeights.Remainder });
        half.Step(remainders, 1, 2);
        half.ResetParameters(7);
        Assert.Empty(remainders.FindStaleMasterWeights());
        using Model plain = new(3);
        using Sgd without = new(plain.Set);
        Assert.Empty(without.FindStaleMasterWeights());
    }

    private static void CopyParameters(MixedModel from, MixedModel to)
    {
        for (int tensor = 0; tensor < from.Parameters.Length; tensor++)
        {
            MixedModel.Write(to.Parameters[tensor], Snapshot.Values(from.Parameters[tensor]));
        }
    }
}
