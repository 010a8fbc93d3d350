using System.Runtime.InteropServices;
using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.State;

/// <summary>States in TorchSharp's format, against bytes that TorchSharp itself wrote.</summary>
public class TorchSharpStateTests
{
    // What TorchSharp 0.99.6 wrote (0.107 writes the same) of two parameters, of shapes [2, 1] and [], after three steps with the
    // gradients g, -g and 3g, g = 1, 2, 4. Adam and AdamW: lr 0.01, betas 0.5 and 0.75; Adam with amsgrad, AdamW with
    // weight_decay 0.125; SGD: lr 0.01, momentum 0.5, nesterov.
    private const string AdamFile =
        "BEFkYW0BAnsUrkfheoQ/exSuR+F6hD8AAAAAAADgPwAAAAAAAOg/Ooww4o55RT4AAAAAAAAAAAEAAwAAAAAAAAAGAgIBAAAoQAAAKMAGAgIBAICcQACAnEAB"
        + "BgICAQCAnEAAgJxAAwAAAAAAAAAGAAAA/EAGAAAQMEIBBgAAEDBC";

    private const string AdamWFile =
        "BUFkYW1XAQJ7FK5H4XqEP3sUrkfheoQ/AAAAAAAA4D8AAAAAAADoPzqMMOKOeUU+AAAAAAAAwD8AAAMAAAAAAAAABgICAQAAKEAAACjABgICAQCAnEAAgJxA"
        + "AAMAAAAAAAAABgAAAPxABgAAEDBCAA==";

    private const string SgdFile = "A1NHRAECexSuR+F6hD97FK5H4XqEPwAAAAAAAOA/AAAAAAAAAAAAAAAAAAAAAAEAAQYCAgEAAKhAAACowAEGAAAAfEE=";

    private static readonly long[][] Shapes = [[2, 1], []];

    public static TheoryData<string, string> Files => new()
    {
        { nameof(Adam), AdamFile },
        { nameof(AdamW), AdamWFile },
        { nameof(Sgd), SgdFile },
    };

    [Theory]
    [MemberData(nameof(Files))]
    public void Reads_and_writes_the_bytes_of_TorchSharp(string name, string base64)
    {
        byte[] file = Convert.FromBase64String(base64);
        using Target target = new(name);
        TorchSharpState.Load(target.Optimizer, new ForwardOnlyStream(new MemoryStream(file)));
        if (name == nameof(Sgd))
        {
            // b ← b/2 + g
            Assert.Equal([5.25f, -5.25f], target.State(StateRole.MomentumBuffer, 0));
            Assert.Equal([15.75f], target.State(StateRole.MomentumBuffer, 1));
            Assert.Equal(2, target.Optimizer.StepCount); // as it was
        }
        else
        {
            // m ← m/2 + g/2, v ← 3v/4 + g²/4
            Assert.Equal(
                (3, 0.125, 0.421875),
                (target.Optimizer.StepCount, target.Optimizer.Beta1Product, target.Optimizer.Beta2Product));
            Assert.Equal([2.625f, -2.625f], target.State(StateRole.ExpAvg, 0));
            Assert.Equal([4.890625f, 4.890625f], target.State(StateRole.ExpAvgSq, 0));
            Assert.Equal([7.875f], target.State(StateRole.ExpAvg, 1));
            Assert.Equal([44.015625f], target.State(StateRole.ExpAvgSq, 1));
        }

        if (name == nameof(Adam))
        {
            Assert.Equal([4.890625f, 4.890625f], target.State(StateRole.MaxExpAvgSq, 0));
            Assert.Equal([44.015625f], target.State(StateRole.MaxExpAvgSq, 1));
        }

        Assert.Equal(file, Saved(target.Optimizer, Shapes));
    }

    public static TheoryData<string> Names => [nameof(Adam), nameof(AdamW), nameof(Sgd)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Resumes_bit_for_bit(string name)
    {
        using TemporaryFolder folder = new();
        string path = folder.File("state");
        int[] sizes = [300, 0, 17, 1];
        using Model whole = new(sizes);
        using Optimizer uninterrupted = Rules.OneOfEach[name](whole.Set);
        whole.Step(uninterrupted, 1, 6);
        TorchSharpState.Save(uninterrupted, path, [[3, 100], [0, 5], [17], []]);
        Assert.Equal([path], Directory.GetFileSystemEntries(folder.Path));

        using Model other = new(sizes);
        using Optimizer resumed = Rules.OneOfEach[name](other.Set);
        other.Step(resumed, 20, 25); // as many: SGD's count is not in the file
        TorchSharpState.Load(resumed, path);
        whole.Parameters.Zip(other.Parameters).ToList().ForEach(pair => pair.First.CopyTo(pair.Second, 0));
        Assert.Equal(Snapshot.Of(uninterrupted), Snapshot.Of(resumed));
        whole.Step(uninterrupted, 7, 12);
        other.Step(resumed, 7, 12);
        Assert.Equal(Snapshot.Of(uninterrupted), Snapshot.Of(resumed));
    }

    [Fact]
    public void Adam_with_decoupled_weight_decay_is_AdamW()
    {
        using Model model = new(2, 1);
        using Adam optimizer = new(
            model.Set,
            new AdamOptions { LearningRate = 0.01, Beta1 = 0.5, Beta2 = 0.75, WeightDecay = 0.125, DecoupledWeightDecay = true });
        byte[] file = Convert.FromBase64String(AdamWFile);
        TorchSharpState.Load(optimizer, new MemoryStream(file));
        Assert.Equal(file, Saved(optimizer, Shapes));
    }

    /// <summary>The file's betas are those that its steps were taken with, whatever comes after.</summary>
    [Fact]
    public void Products_are_those_of_the_files_betas()
    {
        using Model model = new(2, 1);
        using AdamW optimizer = new(model.Set);
        TorchSharpState.Load(optimizer, new MemoryStream(Convert.FromBase64String(AdamWFile)), SavedHyperparameters.Keep);
        Assert.Equal((0.125, 0.421875), (optimizer.Beta1Product, optimizer.Beta2Product));
        Assert.Equal((1e-3, 0.9), (optimizer.LearningRate, optimizer.Beta1));
    }

    /// <summary>A model and its optimizer in one stream.</summary>
    [Fact]
    public void Leaves_a_stream_after_the_state_but_wants_a_file_to_end()
    {
        using TemporaryFolder folder = new();
        byte[] file = [.. Convert.FromBase64String(AdamFile), 1, 2, 3];
        using Target target = new(nameof(Adam));
        using MemoryStream stream = new(file);
        TorchSharpState.Load(target.Optimizer, stream);
        Assert.Equal(3, stream.Length - stream.Position);
        string path = folder.File("state");
        File.WriteAllBytes(path, file);
        string message = Snapshot.Unchanged<InvalidDataException>(
            target.Optimizer, () => TorchSharpState.Load(target.Optimizer, path)).Message;
        Assert.StartsWith(path + ": ", message, StringComparison.Ordinal);
        Assert.Contains("after the end", message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_group_is_a_run_of_tensors_with_the_same_options()
    {
        TensorOptions[] options =
        [
            new(), new() { WeightDecay = 0.25 }, new() { WeightDecay = 0.5 }, new() { LearningRateScale = 3, WeightDecay = 0.5 },
        ];
        using Model model = new([1, 1, 1, 1], options);
        using AdamW optimizer = new(model.Set, new AdamWOptions { LearningRate = 0.125, WeightDecay = 0.25 });
        byte[] file = Saved(optimizer, [[1], [1], [1], [1]]);
        const int Head = 6;
        const int GroupBytes = (6 * sizeof(double)) + 2;
        Assert.Equal([3, 4], file[Head..(Head + 2)]);
        Assert.Equal(
            [(0.125, 0.125, 0.25), (0.125, 0.125, 0.5), (0.375, 0.375, 0.5)],
            Enumerable.Range(0, 3).Select(group =>
            {
                ReadOnlySpan<byte> own = file.AsSpan(Head + 2 + (group * GroupBytes), 6 * sizeof(double));
                ReadOnlySpan<double> values = MemoryMarshal.Cast<byte, double>(own);
                return (values[0], values[1], values[5]);
            }));
        using Model other = new(1, 1, 1, 1);
        using AdamW loaded = new(other.Set);
        TorchSharpState.Load(loaded, new MemoryStream(file), SavedHyperparameters.Keep);
        file[Head + 2 + GroupBytes + (2 * sizeof(double)) + 6] ^= 0x08;
        Assert.Contains(
            "Parameter group 0 has the betas 0.9 and 0.999 in the file, group 1",
            Snapshot.Unchanged<InvalidDataException>(loaded, () => TorchSharpState.Load(loaded, new MemoryStream(file))).Message,
            StringComparison.Ordinal);
    }

    /// <summary>As TorchSharp saves it before its first step.</summary>
    [Fact]
    public void A_momentum_buffer_that_is_not_there_is_zero()
    {
        byte[] file = [.. Convert.FromBase64String(SgdFile)[..^20], 0, 0];
        using Target target = new(nameof(Sgd));
        Assert.NotEqual([0, 0], target.State(StateRole.MomentumBuffer, 0));
        TorchSharpState.Load(target.Optimizer, new MemoryStream(file));
        Assert.Equal([0, 0], target.State(StateRole.MomentumBuffer, 0));
        Assert.Equal([0], target.State(StateRole.MomentumBuffer, 1));

        // Without momentum there is none to write.
        using Model model = new(2, 1);
        using Sgd plain = new(model.Set, new SgdOptions { LearningRate = 0.01 });
        Assert.Equal([0, 0], Saved(plain, Shapes)[^2..]);
    }

    public static TheoryData<string, string, int, byte, string> Bad => new()
    {
        { nameof(Adam), AdamFile, 0, 0, "does not begin with the name" },
        { nameof(Adam), AdamFile, 0, 200, "does not begin with the name" },
        { nameof(Adam), AdamFile, 1, 0xFF, "does not begin with the name" },
        { nameof(Adam), AdamFile, 1, (byte)'N', "TorchSharp's \"Ndam\"" },
        { nameof(Adam), AdamFile, 5, 0, "0 parameter groups" },
        { nameof(Adam), AdamFile, 6, 3, "3 parameters; the set has 2" },
        { nameof(Adam), AdamFile, 30, 0xFF, "beta1 of parameter group 0" }, // negative
        { nameof(Adam), AdamFile, 55, 0, "amsgrad of parameter group 0 is False in the file; the optimizer's is True" },
        { nameof(Adam), AdamFile, 55, 2, "amsgrad of parameter group 0 is 2" },
        { nameof(Adam), AdamFile, 56, 1, "maximize of parameter group 0 is True in the file" },
        { nameof(Adam), AdamFile, 64, 0x80, "the step of tensor 0 (\"0\") is -" },
        { nameof(Adam), AdamFile, 65, 7, "exp_avg of tensor 0 (\"0\") has element type 7" },
        { nameof(Adam), AdamFile, 66, 65, "65 dimensions" },
        { nameof(Adam), AdamFile, 67, 3, "has shape [3, 1]; the parameter has 2" },
        { nameof(Adam), AdamFile, 67, 0, "has shape [0, 1]" },
        { nameof(Adam), AdamFile, 89, 0, "no max_exp_avg_sq of tensor 0" },
        { nameof(AdamW), AdamWFile, 56, 1, "amsgrad of parameter group 0 is True in the file; the optimizer's is False" },
        { nameof(AdamW), AdamWFile, 90, 1, "has max_exp_avg_sq of tensor 0" },
        { nameof(Sgd), SgdFile, 37, 0x40, "dampening of parameter group 0 is 2" },
        { nameof(Sgd), SgdFile, 47, 1, "maximize of parameter group 0 is True" },
        { nameof(Sgd), SgdFile, 48, 9, "there is momentum_buffer of tensor 0 (\"0\") is 9" },
        { nameof(Sgd), AdamFile, 1, (byte)'A', "is of TorchSharp's \"Adam\"; the optimizer here is its \"SGD\"" },
        { nameof(Adam), AdamWFile, 1, (byte)'A', "is of TorchSharp's \"AdamW\"; the optimizer here is its \"Adam\"" },
    };

    [Theory]
    [MemberData(nameof(Bad))]
    public void Refuses_what_does_not_fit(string name, string base64, int position, byte value, string message)
    {
        byte[] file = Convert.FromBase64String(base64);
        file[position] = value;
        using Target target = new(name);
        Assert.Contains(
            message,
            Snapshot.Unchanged<InvalidDataException>(
                target.Optimizer, () => TorchSharpState.Load(target.Optimizer, new MemoryStream(file))).Message,
            StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Files))]
    public void A_truncated_or_failing_file_changes_nothing(string name, string base64)
    {
        byte[] file = Convert.FromBase64String(base64);
        using Target target = new(name);
        for (int length = 0; length < file.Length; length++)
        {
            byte[] part = file[..length];
            string message = Snapshot.Unchanged<InvalidDataException>(
                target.Optimizer, () => TorchSharpState.Load(target.Optimizer, new MemoryStream(part))).Message;
            Assert.Matches("The file (ends within|does not begin with)", message);
            Snapshot.Unchanged<IOException>(
                target.Optimizer, () => TorchSharpState.Load(target.Optimizer, new FailingStream(file, length)));
            Snapshot.Unchanged<IOException>(
                target.Optimizer, () => TorchSharpState.Save(target.Optimizer, new FailingStream(file, length), Shapes));
        }

        CancellationToken cancelled = new(canceled: true);
        Snapshot.Unchanged<OperationCanceledException>(
            target.Optimizer,
            () => TorchSharpState.Load(target.Optimizer, new MemoryStream(file), cancellationToken: cancelled));
    }

    [Fact]
    public void Counts_that_are_no_numbers_are_refused()
    {
        using Target target = new(nameof(Adam));
        byte[] endless = [4, (byte)'A', (byte)'d', (byte)'a', (byte)'m', .. Enumerable.Repeat((byte)0xFF, 20)];
        Assert.Contains(
            "the number of parameter groups is no number",
            Snapshot.Unchanged<InvalidDataException>(
                target.Optimizer, () => TorchSharpState.Load(target.Optimizer, new MemoryStream(endless))).Message,
            StringComparison.Ordinal);
    }

    /// <summary>What <c>Save</c> wrote is what <c>Load</c> takes, whatever the states' type.</summary>
    [Theory]
    [InlineData(DType.BFloat16)]
    [InlineData(DType.Float16)]
    public void Short_states_of_float32_parameters_come_back(DType type)
    {
        int[] sizes = [300, 0, 17, 1];
        long[][] shapes = [[3, 100], [0, 5], [17], []];
        foreach (OptimizerOptions options in new OptimizerOptions[]
        {
            new AdamOptions { StateType = type, Amsgrad = true }, new AdamWOptions { StateType = type },
            new SgdOptions { StateType = type, Momentum = 0.9 },
        })
        {
            using Model model = new(sizes);
            using Model other = new(sizes);
            using Optimizer saved = Rules.Create(model.Set, options);
            using Optimizer loaded = Rules.Create(other.Set, options);
            model.Step(saved, 1, 3);
            other.Step(loaded, 11, 13);
            TorchSharpState.Load(loaded, new MemoryStream(Saved(saved, shapes)));
            model.Parameters.Zip(other.Parameters).ToList().ForEach(pair => pair.First.CopyTo(pair.Second, 0));
            Assert.Equal(Snapshot.Of(saved), Snapshot.Of(loaded));
        }
    }

    [Fact]
    public void States_of_16_bits_need_states_of_that_type()
    {
        MixedTensor[] tensors = [new(3, DType.BFloat16, DType.BFloat16), new(2, DType.Float32, DType.Float32)];
        AdamOptions shortStates = new() { StateType = DType.BFloat16 };
        using MixedModel model = new(tensors);
        using Adam optimizer = new(model.Set, shortStates);
        model.Step(optimizer, 1, 3);
        byte[] file = Saved(optimizer, [[3], [2]]);

        // bfloat16 states of a float32 parameter are written as TorchSharp would have them, float32.
        using MixedModel other = new(tensors);
        using Adam longStates = new(other.Set);
        TorchSharpState.Load(longStates, new MemoryStream(file));
        for (int tensor = 0; tensor < tensors.Length; tensor++)
        {
            float[] values = Snapshot.Values(optimizer.GetState(StateRole.ExpAvg, tensor));
            Assert.All(values, value => Assert.NotEqual(0, value));
            Assert.Equal(values, Snapshot.Values(longStates.GetState(StateRole.ExpAvg, tensor)));
        }

        // A number that bfloat16 states would have to round is refused: the last one of the file's last exp_avg.
        string saved = Snapshot.Of(optimizer);
        optimizer.StepCount = 100;
        TorchSharpState.Load(optimizer, new MemoryStream(file));
        Assert.Equal(saved, Snapshot.Of(optimizer));
        const int BytesAfter = 1 + (1 + 1 + 1 + (2 * sizeof(float)));
        file[^(BytesAfter + sizeof(float))] ^= 1;
        Assert.Contains(
            "exp_avg of tensor 1 (\"1\") is Float32 in the file; the optimizer's state is BFloat16, to which it would have to be "
            + "rounded (element 1)",
            Snapshot.Unchanged<InvalidDataException>(optimizer, () => TorchSharpState.Load(optimizer, new MemoryStream(file))).Message,
            StringComparison.Ordinal);
        Assert.Contains(
            "tensor 0 (\"0\") is BFloat16, but its states are Float32",
            Assert.Throws<NotSupportedException>(() => Saved(longStates, [[3], [2]])).Message,
            StringComparison.Ordinal);

        using MixedModel all = new(tensors[0]);
        using Adam same = new(all.Set, shortStates);
        all.Step(same, 1, 3);
        string before = Snapshot.Of(same);
        byte[] bytes = Saved(same, [[3]]);
        same.StepCount = 100;
        TorchSharpState.Load(same, new MemoryStream(bytes));
        Assert.Equal(before, Snapshot.Of(same));
        Assert.Equal(15, bytes[65]); // TorchSharp's number of bfloat16
    }

    [Fact]
    public void Refuses_shapes_that_do_not_fit()
    {
        using Target target = new(nameof(Adam));
        Refuses("2 tensors", [[2]]);
        Refuses("shapes[0] is [3]", [[3], []]);
        Refuses("shapes[1] is [0]", [[2], [0]]);
        Refuses("shapes[0] is [-2, -1]", [[-2, -1], []]);
        Refuses("shapes[1] is null", [[2], null!]);

        void Refuses(string message, long[][] shapes) => Assert.Contains(
            message,
            Snapshot.Unchanged<ArgumentException>(target.Optimizer, () => Saved(target.Optimizer, shapes)).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Refuses_optimizers_that_TorchSharp_has_not()
    {
        Refuses("rule \"dualadam\"", set => new DualAdam(set));
        Refuses("rule \"invadam\"", set => new InvAdam(set));
        Refuses("maximize", set => new Sgd(set, new SgdOptions { Momentum = 0.5, Maximize = true }));
        Refuses("decoupled", set => new Sgd(set, new SgdOptions { Momentum = 0.5, DecoupledWeightDecay = true }));

        static void Refuses(string message, Func<ParameterSet, Optimizer> create)
        {
            using Model model = new(2, 1);
            using Optimizer optimizer = create(model.Set);
            byte[] file = Convert.FromBase64String(SgdFile);
            Assert.Contains(
                message,
                Snapshot.Unchanged<NotSupportedException>(optimizer, () => Saved(optimizer, Shapes)).Message,
                StringComparison.Ordinal);
            Assert.Contains(
                message,
                Snapshot.Unchanged<NotSupportedException>(
                    optimizer, () => TorchSharpState.Load(optimizer, new MemoryStream(file))).Message,
                StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_step_during_a_save_is_noticed()
    {
        using Target target = new(nameof(Adam));
        Assert.Throws<ConcurrentUseException>(
            () => TorchSharpState.Save(target.Optimizer, new SteppingStream(target.Optimizer), Shapes));
    }

    private static byte[] Saved(Optimizer optimizer, long[][] shapes)
    {
        using MemoryStream stream = new();
        TorchSharpState.Save(optimizer, stream, shapes);
        return stream.ToArray();
    }

    /// <summary>The files' optimizers, after other steps.</summary>
    private sealed class Target : IDisposable
    {
        private readonly Model _model = new(2, 1);

        public Target(string name)
        {
            Optimizer = name switch
            {
                nameof(Adam) => new Adam(
                    _model.Set, new AdamOptions { LearningRate = 0.01, Beta1 = 0.5, Beta2 = 0.75, Amsgrad = true }),
                nameof(AdamW) => new AdamW(
                    _model.Set, new AdamWOptions { LearningRate = 0.01, Beta1 = 0.5, Beta2 = 0.75, WeightDecay = 0.125 }),
                _ => new Sgd(_model.Set, new SgdOptions { LearningRate = 0.01, Momentum = 0.5, Nesterov = true }),
            };
            _model.Step(Optimizer, 1, 2);
        }

        public Optimizer Optimizer { get; }

        public float[] State(StateRole role, int tensor) => Snapshot.Values(Optimizer.GetState(role, tensor));

        public void Dispose()
        {
            Optimizer.Dispose();
            _model.Dispose();
        }
    }
}
