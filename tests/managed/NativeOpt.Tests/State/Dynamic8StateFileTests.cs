using System.Text;
using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.State;

/// <summary>Files of states of 8 bits: this library's own, torch's and TorchSharp's.</summary>
public class Dynamic8StateFileTests
{
    private const string Remedy =
        "U8 is a state of Dynamic8: make the optimizer with the types of states (StateType, StateTypes, TensorOptions.StateType) and "
        + "the MinDynamic8ElementCount of the one that was saved.";

    private static readonly AdamOptions Options = new() { StateType = DType.Dynamic8, MinDynamic8ElementCount = 100 };

    [Fact]
    public void Bytes_are_saved_as_they_are_and_marked()
    {
        using Model model = new(300, 99, 0, 100);
        using Adam optimizer = new(model.Set, Options);
        model.Step(optimizer, 1, 3);
        byte[] file = Saved(optimizer);
        MemoryStream stream = new(file);
        SafetensorsHeader header = SafetensorsHeader.Read(stream);
        Assert.Equal("dynamic8", header.Metadata["u8_dtype"]);
        Assert.Equal(
            "1.exp_avg F32 [99] 396, 1.exp_avg_sq F32 [99] 396, 2.exp_avg F32 [0] 0, 2.exp_avg_sq F32 [0] 0, "
            + "0.exp_avg U8 [308] 308, 0.exp_avg_sq U8 [308] 308, 3.exp_avg U8 [104] 104, 3.exp_avg_sq U8 [104] 104",
            string.Join(", ", header.Entries.Select(
                static entry => $"{entry.Name} {entry.DType} [{entry.Shape.Single()}] {entry.End - entry.Begin}")));
        SafetensorsEntry last = header.Entries[^1];
        Assert.Equal(
            Dynamic8Code.Bytes(optimizer.GetState(StateRole.ExpAvgSq, 3)),
            file[(int)(stream.Position + last.Begin)..(int)(stream.Position + last.End)]);

        // Files without such states are what they were.
        using Model plain = new(300);
        using Adam longStates = new(plain.Set);
        Assert.False(SafetensorsHeader.Read(new MemoryStream(Saved(longStates))).Metadata.ContainsKey("u8_dtype"));
    }

    public static TheoryData<string, AdamOptions, AdamOptions> Differences => new()
    {
        {
            $"\"0.exp_avg\" is U8 [308] in the file; the optimizer has F32 [300]. {Remedy}", Options, new AdamOptions()
        },
        {
            $"\"0.exp_avg\" is F32 [300] in the file; the optimizer has U8 [308]. {Remedy}", new AdamOptions(), Options
        },
        {
            $"\"0.exp_avg\" is BF16 [300] in the file; the optimizer has U8 [308]. {Remedy}",
            new AdamOptions { StateType = DType.BFloat16 }, Options
        },
        {
            $"\"1.exp_avg\" is F32 [99] in the file; the optimizer has U8 [103]. {Remedy}", Options,
            Options with { MinDynamic8ElementCount = 0 }
        },
        {
            $"\"0.exp_avg\" is U8 [308] in the file; the optimizer has F32 [300]. {Remedy}", Options,
            Options with { MinDynamic8ElementCount = 301 }
        },
    };

    [Theory]
    [MemberData(nameof(Differences))]
    public void Files_of_other_states_are_refused_with_the_difference(string message, AdamOptions saved, AdamOptions loaded)
    {
        byte[] file;
        using (Model model = new(300, 99))
        {
            using Adam optimizer = new(model.Set, saved);
            model.Step(optimizer, 1, 2);
            file = Saved(optimizer);
        }

        using Model other = new(300, 99);
        using Adam target = new(other.Set, loaded);
        other.Step(target, 1, 4);
        Assert.Contains(
            message,
            Snapshot.Unchanged<InvalidDataException>(target, () => target.Load(new MemoryStream(file))).Message,
            StringComparison.Ordinal);
    }

    /// <summary>U8 that does not say what it is could be anything.</summary>
    [Theory]
    [InlineData("\"u8_dtype\":\"dynamic8\"", "\"u8_dtype\":\"nf4\"", "The file's u8_dtype is \"nf4\", not \"dynamic8\"")]
    [InlineData(",\"u8_dtype\":\"dynamic8\"", "", "The file's metadata has no u8_dtype")]
    public void Bytes_of_an_unknown_type_are_refused(string text, string replacement, string message)
    {
        using Model model = new(300);
        using Adam optimizer = new(model.Set, Options);
        model.Step(optimizer, 1, 2);
        byte[] file = Saved(optimizer);
        int length = (int)BitConverter.ToUInt64(file);
        string header = Encoding.UTF8.GetString(file, 8, length);
        Assert.Contains(text, header, StringComparison.Ordinal);

        // As another program might write it, without the digest.
        int digest = header.IndexOf("\"header_sha256\"", StringComparison.Ordinal);
        header = header.Remove(digest, header.IndexOf(',', digest) + 1 - digest)
            .Replace(text, replacement, StringComparison.Ordinal);
        byte[] foreign =
            [.. BitConverter.GetBytes((ulong)Encoding.UTF8.GetByteCount(header)), .. Encoding.UTF8.GetBytes(header), .. file[(8 + length)..]];
        Assert.Contains(
            message,
            Snapshot.Unchanged<InvalidDataException>(optimizer, () => optimizer.Load(new MemoryStream(foreign))).Message,
            StringComparison.Ordinal);
    }

    /// <summary>What torch gets are the numbers that a step here would read, and these go back.</summary>
    [Fact]
    public void Torch_gets_the_decoded_numbers_and_gives_them_back()
    {
        using Model model = new(300, 99, 0);
        using Adam optimizer = new(model.Set, Options);
        model.Step(optimizer, 1, 3);
        using MemoryStream file = new();
        TorchState.Save(optimizer, file);
        Assert.All(
            SafetensorsHeader.Read(new MemoryStream(file.ToArray())).Entries,
            static entry => Assert.Equal("F32", entry.DType));
        using Model other = new(300, 99, 0);
        using Adam longStates = new(other.Set);
        TorchState.Load(longStates, new MemoryStream(file.ToArray()));
        RequireDecoded(optimizer, longStates);
        model.Step(optimizer, 4, 9);
        TorchState.Load(optimizer, new MemoryStream(file.ToArray()));
        RequireDecoded(optimizer, longStates);

        // Numbers that were never 8 bits stay out.
        model.Step(longStates, 4, 4);
        using MemoryStream longFile = new();
        TorchState.Save(longStates, longFile);
        Assert.Contains(
            "\"0.exp_avg\" is Float32 in the file; the optimizer's state is Dynamic8, to which it would have to be rounded "
            + "(element ",
            Snapshot.Unchanged<InvalidDataException>(
                optimizer, () => TorchState.Load(optimizer, new MemoryStream(longFile.ToArray()))).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void TorchSharp_gets_the_decoded_numbers_and_gives_them_back()
    {
        long[][] shapes = [[300], [99], [0]];
        using Model model = new(300, 99, 0);
        using Adam optimizer = new(model.Set, Options);
        model.Step(optimizer, 1, 3);
        using MemoryStream file = new();
        TorchSharpState.Save(optimizer, file, shapes);
        using Model other = new(300, 99, 0);
        using Adam longStates = new(other.Set);
        TorchSharpState.Load(longStates, new MemoryStream(file.ToArray()));
        RequireDecoded(optimizer, longStates);
        model.Step(optimizer, 4, 9);
        TorchSharpState.Load(optimizer, new MemoryStream(file.ToArray()));
        RequireDecoded(optimizer, longStates);
        model.Step(longStates, 4, 4);
        using MemoryStream longFile = new();
        TorchSharpState.Save(longStates, longFile, shapes);
        Assert.Contains(
            "exp_avg of tensor 0 (\"0\") is Float32 in the file; the optimizer's state is Dynamic8",
            Snapshot.Unchanged<InvalidDataException>(
                optimizer, () => TorchSharpState.Load(optimizer, new MemoryStream(longFile.ToArray()))).Message,
            StringComparison.Ordinal);

        using MixedModel halves = new(new MixedTensor(300, DType.BFloat16, DType.BFloat16));
        using Adam ofHalves = new(halves.Set, Options);
        Assert.Contains(
            "is BFloat16, but its states are Dynamic8 and would have to be rounded",
            Assert.Throws<NotSupportedException>(() => TorchSharpState.Save(ofHalves, new MemoryStream(), [[300]])).Message,
            StringComparison.Ordinal);
    }

    /// <summary>Whatever a step leaves in a block comes back, and the steps after are the same.</summary>
    [Theory]
    [InlineData(1.0)]
    [InlineData(1e-30)]
    [InlineData(1e-44)]
    [InlineData(1e37)]
    public void Blocks_of_all_kinds_come_back(double scale)
    {
        const int Size = (40 * 256) + 7;
        SgdOptions options = new() { Momentum = 0.5, StateType = DType.Dynamic8, MinDynamic8ElementCount = 0 };
        using Model model = new(Size);
        using Model other = new(Size);
        using Sgd saved = new(model.Set, options);
        using Sgd loaded = new(other.Set, options);
        float[] gradient = Model.Values(Size, 3, scale);
        for (int i = 0; i < Size; i++)
        {
            // From one block to the next: the extremes are positive, negative, both, or zero, or one element is not finite.
            int block = i / 256;
            int place = i % 256;
            float largest = (float)scale;
            gradient[i] = (block % 6) switch
            {
                0 => place == 5 ? largest : gradient[i] * 0.9f,
                1 => place == 5 ? -largest : gradient[i] * MathF.Pow(0.9f, place),
                2 => place switch { 5 => largest, 6 => -largest, 7 => largest * 0.997f, _ => gradient[i] * 1e-4f },
                3 => 0,
                4 => place == 9 ? (block % 4 == 0 ? float.NaN : float.NegativeInfinity) : gradient[i],
                _ => -Math.Abs(gradient[i]),
            };
        }

        gradient.CopyTo(model.Gradients[0], 0);
        saved.Step();
        using MemoryStream file = new();
        TorchSharpState.Save(saved, file, [[Size]]);
        file.Position = 0;
        TorchSharpState.Load(loaded, file);
        Assert.Equal(
            Snapshot.Values(saved, StateRole.MomentumBuffer, 0), Snapshot.Values(loaded, StateRole.MomentumBuffer, 0));
        model.Parameters[0].CopyTo(other.Parameters[0], 0);
        gradient.CopyTo(other.Gradients[0], 0);
        saved.Step();
        loaded.Step();
        Assert.Equal(Snapshot.Values(model.Set.GetParameter(0)), Snapshot.Values(other.Set.GetParameter(0)));
    }

    /// <summary>TorchSharp's SGD before its first step: buffers of zeros, which every type holds.</summary>
    [Fact]
    public void Momentum_that_TorchSharp_has_not_yet_is_zero()
    {
        SgdOptions options = new() { Momentum = 0.9, StateType = DType.Dynamic8, MinDynamic8ElementCount = 100 };
        using Model plain = new(300, 99);
        using Sgd without = new(plain.Set);
        using MemoryStream file = new();
        TorchSharpState.Save(without, file, [[300], [99]]);
        using Model model = new(300, 99);
        using Sgd optimizer = new(model.Set, options);
        model.Step(optimizer, 1, 2);
        file.Position = 0;
        TorchSharpState.Load(optimizer, file, SavedHyperparameters.Keep);
        for (int tensor = 0; tensor < 2; tensor++)
        {
            Assert.All(Snapshot.Values(optimizer, StateRole.MomentumBuffer, tensor), static value => Assert.Equal(0, value));
        }
    }

    private static void RequireDecoded(Adam from, Adam to)
    {
        Assert.Equal((from.StepCount, from.Beta1Product, from.Beta2Product), (to.StepCount, to.Beta1Product, to.Beta2Product));
        foreach (StateRole role in from.StateRoles)
        {
            for (int tensor = 0; tensor < from.ParameterSet.Count; tensor++)
            {
                float[] values = Snapshot.Values(from, role, tensor);
                Assert.All(values, static value => Assert.NotEqual(0, value));
                Assert.Equal(values, Snapshot.Values(to, role, tensor));
            }
        }
    }

    private static byte[] Saved(Adam optimizer)
    {
        using MemoryStream file = new();
        optimizer.Save(file);
        return file.ToArray();
    }
}
