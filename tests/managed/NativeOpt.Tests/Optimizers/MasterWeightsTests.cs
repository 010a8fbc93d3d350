using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Optimizers;

/// <summary>Master weights as buffers: what they begin as, who owns them, when they are made anew; and options that do not fit.</summary>
public class MasterWeightsTests
{
    private static readonly MixedTensor[] Mixed =
    [
        new(7, DType.Float32, DType.Float32), new(5, DType.BFloat16, DType.BFloat16), new(0, DType.BFloat16, DType.BFloat16),
        new(9, DType.Float16, DType.Float16),
    ];

    private static readonly MixedTensor[] Half =
        [new(7, DType.Float32, DType.Float32), new(5, DType.BFloat16, DType.BFloat16), new(0, DType.BFloat16, DType.BFloat16)];

    [Fact]
    public void Masters_begin_as_the_parameters_and_float32_ones_have_none()
    {
        using MixedModel model = new(Mixed);
        using Adam optimizer = new(model.Set, new AdamOptions { MasterWeights = MasterWeights.Float32 });
        Assert.Equal([StateRole.ExpAvg, StateRole.ExpAvgSq, StateRole.MasterParam], optimizer.StateRoles);
        Assert.Equal(0, optimizer.GetState(StateRole.MasterParam, 0).ElementCount);
        foreach (int tensor in new[] { 1, 2, 3 })
        {
            TensorRef master = optimizer.GetState(StateRole.MasterParam, tensor);
            Assert.Equal((DType.Float32, Mixed[tensor].Size), (master.DType, (int)master.ElementCount));
            Assert.Equal(Snapshot.Values(model.Parameters[tensor]), Snapshot.Values(master));
        }

        Assert.Throws<ArgumentException>(() => optimizer.GetState(StateRole.ParamRemainder, 1));
    }

    [Fact]
    public void Remainders_begin_as_zeros()
    {
        using MixedModel model = new(Half);
        using Sgd optimizer = new(model.Set, new SgdOptions { MasterWeights = MasterWeights.Remainder });
        Assert.Equal([StateRole.ParamRemainder], optimizer.StateRoles);
        Assert.Equal(0, optimizer.GetState(StateRole.ParamRemainder, 0).ElementCount);
        Assert.Equal(DType.UInt16, optimizer.GetState(StateRole.ParamRemainder, 1).DType);
        Assert.Equal(new ushort[5], MixedModel.Bits(optimizer.GetState(StateRole.ParamRemainder, 1)).ToArray());
    }

    /// <summary>That of docs/precision.md.</summary>
    [Fact]
    public void The_documentations_example_works()
    {
        Device device = Device.Cpu;
        using DeviceBuffer<ushort> weights = new(device, 1024);
        TensorRef weight = TensorRef.FromDeviceBuffer(weights, DType.BFloat16);
        using ParameterSet parameters = new([weight], [new TensorOptions { GradientType = DType.Float32 }]);
        using AdamW optimizer = new(parameters, new AdamWOptions { MasterWeights = MasterWeights.Remainder });

        using DeviceBuffer<float> gradients = new(device, 1024);
        gradients.Fill(-1);
        parameters.SetGradients([gradients]);
        optimizer.Step();
        Assert.All(Snapshot.Values(weight), value => Assert.Equal(1e-3, value, 1e-5));
    }

    [Fact]
    public void States_have_the_type_of_the_options()
    {
        using MixedModel model = new(Mixed);
        using Adam optimizer = new(model.Set, new AdamOptions { StateType = DType.BFloat16, Amsgrad = true });
        foreach (StateRole role in new[] { StateRole.ExpAvg, StateRole.ExpAvgSq, StateRole.MaxExpAvgSq })
        {
            Assert.All(Enumerable.Range(0, 4), tensor => Assert.Equal(DType.BFloat16, optimizer.GetState(role, tensor).DType));
        }
    }

    /// <summary>More than one piece of a copy.</summary>
    [Theory]
    [InlineData(MasterWeights.Float32)]
    [InlineData(MasterWeights.Remainder)]
    public void Large_tensors_have_master_weights(MasterWeights master)
    {
        const int Count = (1 << 20) + 5;
        using MixedModel model = new(new MixedTensor(Count, DType.BFloat16, DType.BFloat16));
        using Sgd optimizer = new(model.Set, new SgdOptions { LearningRate = 0.01, MasterWeights = master });
        model.Step(optimizer, 1, 2);
        StateRole role = optimizer.StateRoles.Single();
        Assert.Contains(MixedModel.Bits(optimizer.GetState(role, 0) with { ElementCount = 9 }).ToArray(), bits => bits != 0);
        optimizer.ResetMasterWeights();
        TensorRef state = optimizer.GetState(role, 0);
        if (master == MasterWeights.Float32)
        {
            Assert.Equal(Snapshot.Values(model.Parameters[0]), Snapshot.Values(state));
        }
        else
        {
            Assert.Equal(-1, MixedModel.Bits(state).IndexOfAnyExcept((ushort)0));
        }
    }

    /// <summary>What the host writes to parameters counts after a reset only, as with a new optimizer.</summary>
    [Theory]
    [InlineData(MasterWeights.Float32)]
    [InlineData(MasterWeights.Remainder)]
    public void Reset_takes_over_what_the_host_wrote(MasterWeights master)
    {
        MixedTensor[] tensors = [new(300, DType.BFloat16, DType.BFloat16), new(7, DType.Float32, DType.Float32)];
        SgdOptions options = new() { LearningRate = 0.01, MasterWeights = master };
        using MixedModel fresh = new(tensors);
        fresh.ResetParameters(2000);
        using Sgd expected = new(fresh.Set, options);
        fresh.Step(expected, 3, 4);

        using MixedModel model = new(tensors);
        using Sgd optimizer = new(model.Set, options);
        model.Step(optimizer, 1, 2);
        model.ResetParameters(2000);
        optimizer.ResetMasterWeights();
        model.Step(optimizer, 3, 4);
        Assert.Equal(fresh.ParameterBytes(), model.ParameterBytes());

        // Without it float32 masters are what counts.
        model.ResetParameters(3000);
        model.Step(optimizer, 5, 5);
        fresh.Step(expected, 5, 5);
        Assert.Equal(
            master == MasterWeights.Float32,
            fresh.ParameterBytes().AsSpan(0, 600).SequenceEqual(model.ParameterBytes().AsSpan(0, 600)));
    }

    [Fact]
    public void The_host_may_own_them()
    {
        using MixedModel own = new(Mixed);
        AdamOptions options = new() { MasterWeights = MasterWeights.Float32, StateType = DType.BFloat16 };
        using Adam expected = new(own.Set, options);
        own.Step(expected, 1, 4);

        using MixedModel model = new(Mixed);
        using Adam optimizer = new(model.Set, options);
        TensorRef[] masters =
        [
            TensorRef.FromPointer(0, 0), model.Allocate(5, DType.Float32), TensorRef.FromPointer(0, 0),
            model.Allocate(9, DType.Float32),
        ];
        TensorRef[] moments = [.. Mixed.Select(tensor => model.Allocate(tensor.Size, DType.BFloat16))];
        optimizer.BindState(StateRole.MasterParam, masters);
        optimizer.BindState(StateRole.ExpAvg, moments);
        optimizer.ResetMasterWeights();
        Assert.Equal(Snapshot.Values(model.Parameters[3]), Snapshot.Values(masters[3]));
        model.Step(optimizer, 1, 4);
        Assert.Equal(Snapshot.Of(expected), Snapshot.Of(optimizer));
        Assert.Equal(masters[3], optimizer.GetState(StateRole.MasterParam, 3));

        Refuses("buffers[1] is BFloat16; it must be Float32", [masters[0], moments[1], masters[2], masters[3]]);
        Refuses("buffers[0] has 7 elements, but the tensor needs none", [model.Allocate(7, DType.Float32), masters[1], masters[2], masters[3]]);
        Assert.Contains(
            "buffers[1] is null, but master_param of the tensor has 5 elements",
            Snapshot.Unchanged<ArgumentException>(
                optimizer, () => optimizer.BindState(StateRole.MasterParam, [0, 0, 0, masters[3].Pointer])).Message,
            StringComparison.Ordinal);
        Snapshot.Unchanged<ArgumentException>(
            optimizer,
            () => optimizer.BindState(
                StateRole.MasterParam, [model.Allocate(7, DType.Float32).Pointer, masters[1].Pointer, 0, masters[3].Pointer]));
        Assert.Contains(
            "buffers[0] is Float32; it must be BFloat16",
            Snapshot.Unchanged<ArgumentException>(
                optimizer,
                () => optimizer.BindState(StateRole.ExpAvg, [.. Mixed.Select(t => model.Allocate(t.Size, DType.Float32))])).Message,
            StringComparison.Ordinal);

        void Refuses(string message, TensorRef[] buffers) =>
            Assert.Contains(
                message,
                Snapshot.Unchanged<ArgumentException>(optimizer, () => optimizer.BindState(StateRole.MasterParam, buffers)).Message,
                StringComparison.Ordinal);
    }

    [Fact]
    public void Only_optimizers_with_master_weights_reset_them()
    {
        using MixedModel model = new(Mixed);
        using Adam optimizer = new(model.Set);
        Assert.Contains(
            "MasterWeights.None",
            Snapshot.Unchanged<InvalidOperationException>(optimizer, () => optimizer.ResetMasterWeights()).Message,
            StringComparison.Ordinal);
    }

    public static TheoryData<string, MixedTensorKind, OptimizerOptions> OptionsThatDoNotFit => new()
    {
        { "StateType is 7; it must be Float32, BFloat16, Float16 or Dynamic8", MixedTensorKind.All, new AdamOptions { StateType = (DType)7 } },
        { "StateType is UInt16", MixedTensorKind.All, new SgdOptions { StateType = DType.UInt16 } },
        { "MasterWeights is 7; it must be None or Float32 or Remainder", MixedTensorKind.All, new AdamOptions { MasterWeights = (MasterWeights)7 } },
        {
            "MasterWeights is Remainder, but tensor 3 (\"fourth\") is Float16", MixedTensorKind.All,
            new SgdOptions { MasterWeights = MasterWeights.Remainder }
        },
        { "MasterWeights is Float32, but no tensor has 16 bits", MixedTensorKind.Float32, new AdamOptions { MasterWeights = MasterWeights.Float32 } },
        { "MasterWeights is Remainder, but no tensor has 16 bits", MixedTensorKind.Float32, new AdamOptions { MasterWeights = MasterWeights.Remainder } },
        { "StochasticRounding is set, but no tensor is BFloat16", MixedTensorKind.Float32, new AdamWOptions { StochasticRounding = true } },
        { "StochasticRounding is set, but no tensor is BFloat16", MixedTensorKind.Float16, new InvAdamOptions { StochasticRounding = true } },
        {
            "StochasticRounding is for BFloat16 parameters without master weights, but MasterWeights is Float32", MixedTensorKind.All,
            new DualAdamOptions { StochasticRounding = true, MasterWeights = MasterWeights.Float32 }
        },
        {
            "MinDynamic8ElementCount is -1; it must be 0 or more", MixedTensorKind.All,
            new AdamOptions { StateType = DType.Dynamic8, MinDynamic8ElementCount = -1 }
        },
        {
            "MinDynamic8ElementCount is 0, but StateType is BFloat16", MixedTensorKind.All,
            new SgdOptions { StateType = DType.BFloat16, MinDynamic8ElementCount = 0 }
        },
        {
            "RoundingSeed is 4, but neither StochasticRounding nor StochasticRoundingStates is set", MixedTensorKind.All,
            new AdamOptions { RoundingSeed = 4 }
        },
        {
            "StochasticRoundingStates is set, but no state of the rule \"adam\" with these options is BFloat16", MixedTensorKind.All,
            new AdamOptions { StateType = DType.Float16, StochasticRoundingStates = true }
        },
        {
            "StochasticRoundingStates is set, but no state of the rule \"sgd\" with these options is BFloat16", MixedTensorKind.All,
            new SgdOptions { StateType = DType.BFloat16, StochasticRoundingStates = true }
        },
    };

    public enum MixedTensorKind
    {
        All,
        Float32,
        Float16,
    }

    [Theory]
    [MemberData(nameof(OptionsThatDoNotFit))]
    public void Options_that_do_not_fit_are_refused(string message, MixedTensorKind kind, OptimizerOptions options)
    {
        DType[] types = kind switch
        {
            MixedTensorKind.Float32 => [DType.Float32],
            MixedTensorKind.Float16 => [DType.Float16, DType.Float32],
            _ => [DType.Float32, DType.BFloat16, DType.BFloat16, DType.Float16],
        };
        string[] names = ["first", "second", "third", "fourth"];
        using DeviceBuffer<float> memory = new(Device.Cpu, 64);
        using ParameterSet set = new(
            [.. types.Select((type, i) => TensorRef.FromPointer(memory.Pointer + (16 * i), 3, type))],
            [.. types.Select((_, i) => new TensorOptions { Name = names[i] })]);
        ArgumentException exception = Assert.ThrowsAny<ArgumentException>(() => Rules.Create(set, options));
        Assert.Equal("options", exception.ParamName);
        Assert.StartsWith(message, exception.Message, StringComparison.Ordinal);

        // The set is free for another one.
        using Adam optimizer = new(set);
    }
}
