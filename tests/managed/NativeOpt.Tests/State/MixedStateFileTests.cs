using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.State;

/// <summary>State files of parameters and states of 16 bits, and of master weights.</summary>
public class MixedStateFileTests
{
    private static readonly int[] Sizes = [3, 0, 17, 4099];

    public static TheoryData<string> Mixes => [.. Precision.WithDynamic8.Keys];

    [Theory]
    [MemberData(nameof(Mixes))]
    public void Resumes_bit_for_bit(string mix)
    {
        Precision precision = Precision.WithDynamic8[mix];
        using MixedModel whole = new(precision.Tensors(Sizes));
        using Optimizer uninterrupted = precision.Create(nameof(Adam), whole.Set);
        whole.Step(uninterrupted, 1, 8);

        using MemoryStream file = new();
        using (MixedModel first = new(precision.Tensors(Sizes)))
        {
            using Optimizer optimizer = precision.Create(nameof(Adam), first.Set);
            first.Step(optimizer, 1, 4);
            optimizer.Save(file, includeParameters: true);
        }

        using MixedModel second = new(precision.Tensors(Sizes));
        second.ResetParameters(5000);
        using Optimizer resumed = precision.Create(nameof(Adam), second.Set);
        second.Step(resumed, 20, 22); // what is there before does not matter
        file.Position = 0;
        resumed.Load(file);
        second.Step(resumed, 5, 8);
        Assert.Equal(Snapshot.Of(uninterrupted), Snapshot.Of(resumed));
    }

    /// <remarks>The wider ones come first, so that all lie at multiples of their elements.</remarks>
    [Fact]
    public void Entries_have_the_types_of_their_tensors()
    {
        MixedTensor[] tensors =
            [new(3, DType.BFloat16, DType.Float32), new(2, DType.Float32, DType.Float32), new(5, DType.Float16, DType.Float16)];
        Assert.Equal(
            "0.master_param F32 12, 1.param F32 8, 2.master_param F32 20, 0.param BF16 6, 0.momentum_buffer BF16 6, "
            + "1.momentum_buffer BF16 4, 2.param F16 10, 2.momentum_buffer BF16 10",
            Saved(new SgdOptions { Momentum = 0.5, StateType = DType.BFloat16, MasterWeights = MasterWeights.Float32 }, tensors));
        Assert.Equal(
            "1.param F32 8, 0.param BF16 6, 0.param_remainder U16 6",
            Saved(new SgdOptions { MasterWeights = MasterWeights.Remainder }, tensors[..2]));

        static string Saved(SgdOptions options, MixedTensor[] tensors)
        {
            using MixedModel model = new(tensors);
            using Sgd optimizer = new(model.Set, options);
            using MemoryStream file = new();
            optimizer.Save(file, includeParameters: true);
            file.Position = 0;
            return string.Join(
                ", ", SafetensorsHeader.Read(file).Entries.Select(entry => $"{entry.Name} {entry.DType} {entry.End - entry.Begin}"));
        }
    }

    public static TheoryData<string, string, string> Differences
    {
        get
        {
            const string Plain = "BFloat16 gradient=BFloat16 state=Float32 master=None stochastic=False";
            const string Short = "BFloat16 gradient=BFloat16 state=BFloat16 master=None stochastic=False";
            const string Masters = "BFloat16 gradient=BFloat16 state=Float32 master=Float32 stochastic=False";
            const string Remainders = "BFloat16 gradient=BFloat16 state=Float32 master=Remainder stochastic=False";
            const string Float16 = "Float16 gradient=Float16 state=Float32 master=None stochastic=False";
            const string Float32 = "Float32 gradient=Float32 state=Float32 master=None stochastic=False";
            return new TheoryData<string, string, string>
            {
                { Plain, Short, "\"0.exp_avg\" is F32 [3] in the file; the optimizer has BF16 [3]" },
                { Short, Plain, "\"0.exp_avg\" is BF16 [3] in the file; the optimizer has F32 [3]" },
                { Plain, Masters, "The file has no \"0.master_param\"" },
                { Masters, Plain, "The file has \"0.master_param\", which the optimizer has not" },
                { Masters, Remainders, "The file has no \"0.param_remainder\"" },
                { Remainders, Masters, "The file has no \"0.master_param\"" },
                { Remainders, Plain, "The file has \"0.param_remainder\", which the optimizer has not" },
                { Plain, Float16, "\"0.param\" is BF16 [3] in the file; the optimizer has F16 [3]" },
                { Float16, Plain, "\"0.param\" is F16 [3] in the file; the optimizer has BF16 [3]" },
                { Float32, Plain, "\"0.param\" is F32 [3] in the file; the optimizer has BF16 [3]" },
                { Plain, Float32, "\"0.param\" is BF16 [3] in the file; the optimizer has F32 [3]" },
            };
        }
    }

    [Theory]
    [MemberData(nameof(Differences))]
    public void Files_of_other_types_are_refused_with_the_difference(string saved, string loaded, string message)
    {
        using MemoryStream file = new();
        using (MixedModel model = new(Precision.All[saved].Tensors(3, 2)))
        {
            using Optimizer optimizer = Precision.All[saved].Create(nameof(AdamW), model.Set);
            model.Step(optimizer, 1, 1);
            optimizer.Save(file, includeParameters: true);
        }

        using MixedModel other = new(Precision.All[loaded].Tensors(3, 2));
        using Optimizer target = Precision.All[loaded].Create(nameof(AdamW), other.Set);
        other.Step(target, 1, 2);
        file.Position = 0;
        Assert.Contains(
            message, Snapshot.Unchanged<InvalidDataException>(target, () => target.Load(file)).Message, StringComparison.Ordinal);
    }

    /// <summary>A host that saves its parameters itself: the file has the rest.</summary>
    [Theory]
    [InlineData(MasterWeights.Float32)]
    [InlineData(MasterWeights.Remainder)]
    public void Master_weights_are_saved_without_the_parameters_too(MasterWeights master)
    {
        Precision precision = new(DType.BFloat16, DType.BFloat16, DType.Float32, master);
        using MixedModel model = new(precision.Tensors(300));
        using Optimizer optimizer = precision.Create(nameof(Sgd), model.Set);
        model.Step(optimizer, 1, 3);
        using MemoryStream file = new();
        optimizer.Save(file);
        ushort[] parameters = MixedModel.Bits(model.Parameters[0]).ToArray();
        string saved = Snapshot.Of(optimizer);
        model.Step(optimizer, 4, 6);
        Assert.NotEqual(saved, Snapshot.Of(optimizer));
        file.Position = 0;
        optimizer.Load(file);
        parameters.CopyTo(MixedModel.Bits(model.Parameters[0]));
        Assert.Equal(saved, Snapshot.Of(optimizer));
    }
}
