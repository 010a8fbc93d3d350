using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using NativeOpt.Tests.Support;
using Xunit;
using static NativeOpt.Tests.Support.SafetensorsItem;

namespace NativeOpt.Tests.State;

/// <summary>States in torch's names: what torch would go on with, and what is taken from it.</summary>
public partial class TorchStateTests
{
    private static readonly int[] Sizes = [3, 0, 17, 1];

    private static readonly Lazy<string?> PythonWithTorch = new(FindPythonWithTorch);

    private static readonly TensorOptions[] Named = [new() { Name = "a" }, new() { Name = "b.weight" }];

    // Swats is refused, since torch has no names for its switch.
    public static TheoryData<string> Names => [.. Rules.OneOfEach.Keys.Where(static name => name != nameof(Swats))];

    [Theory]
    [MemberData(nameof(Names))]
    public void Resumes_bit_for_bit(string name)
    {
        using TemporaryFolder folder = new();
        string path = folder.File("state.safetensors");
        using Model whole = new(Sizes);
        using Optimizer uninterrupted = Rules.OneOfEach[name](whole.Set);
        whole.Step(uninterrupted, 1, 6);
        TorchState.Save(uninterrupted, path);

        using Model other = new(Sizes);
        using Optimizer resumed = Rules.OneOfEach[name](other.Set);
        other.Step(resumed, 20, 25); // as many: SGD's count is not in the file
        TorchState.Load(resumed, path);
        whole.Parameters.Zip(other.Parameters).ToList().ForEach(pair => pair.First.CopyTo(pair.Second, 0));
        Assert.Equal(Snapshot.Of(uninterrupted), Snapshot.Of(resumed));
        whole.Step(uninterrupted, 7, 12);
        other.Step(resumed, 7, 12);
        Assert.Equal(Snapshot.Of(uninterrupted), Snapshot.Of(resumed));
    }

    [Fact]
    public void Writes_the_names_of_torch()
    {
        Assert.Equal(
            "a.step F32 [] 0-4, b.weight.step F32 [] 4-8, a.exp_avg F32 [2] 8-16, a.exp_avg_sq F32 [2] 16-24, "
            + "a.max_exp_avg_sq F32 [2] 24-32, b.weight.exp_avg F32 [1] 32-36, b.weight.exp_avg_sq F32 [1] 36-40, "
            + "b.weight.max_exp_avg_sq F32 [1] 40-44",
            Entries(new Model([2, 1], Named), set => new Adam(set, new AdamOptions { Amsgrad = true })));
        Assert.Equal(
            "0.momentum_buffer F32 [2] 0-8, 1.momentum_buffer F32 [1] 8-12",
            Entries(new Model(2, 1), set => new Sgd(set, new SgdOptions { Momentum = 0.5 })));
        Assert.Equal("", Entries(new Model(2, 1), set => new Sgd(set)));

        static string Entries(Model model, Func<ParameterSet, Optimizer> create)
        {
            using (model)
            {
                using Optimizer optimizer = create(model.Set);
                model.Step(optimizer, 1, 3);
                byte[] file = Saved(optimizer);
                SafetensorsHeader header = SafetensorsHeader.Read(new MemoryStream(file));
                Assert.Equal("pt", header.Metadata["format"]);
                byte[] data = file[(sizeof(long) + (int)BinaryPrimitives.ReadInt64LittleEndian(file))..];
                foreach (SafetensorsEntry entry in header.Entries.Where(entry => entry.Name.EndsWith(".step", StringComparison.Ordinal)))
                {
                    Assert.Equal(3f, BitConverter.ToSingle(data, (int)entry.Begin));
                }

                return string.Join(
                    ", ",
                    header.Entries.Select(
                        entry => $"{entry.Name} {entry.DType} [{string.Join(", ", entry.Shape)}] {entry.Begin}-{entry.End}"));
            }
        }
    }

    /// <summary>
    /// Twenty steps of the papers' equations in double, as a file of torch's would hold them; twenty more here are then the
    /// equations' forty.
    /// </summary>
    [Theory]
    [InlineData("Adam L2 maximize=False amsgrad=False")]
    [InlineData("Adam L2 maximize=False amsgrad=True")]
    [InlineData("AdamW maximize=False amsgrad=True")]
    [InlineData("Sgd L2 maximize=False momentum=True nesterov=True")]
    public void Goes_on_from_the_equations(string name)
    {
        RuleCase rule = Rules.Case(name);
        using Model model = new([6, 1], Named);
        Reference.Element[][] expected =
            [.. model.Parameters.Select(tensor => tensor.Select(value => new Reference.Element { Theta = value }).ToArray())];
        Step(1, 20);
        List<SafetensorsItem> items = [];
        (string, Reference.Element[], long[])[] tensors = [("a", expected[0], [2, 3]), ("b.weight", expected[1], [])];
        foreach ((string tensor, Reference.Element[] elements, long[] shape) in tensors)
        {
            if (rule.Reference.Rule == ReferenceRule.Sgd)
            {
                items.Add(Singles($"{tensor}.momentum_buffer", shape, [.. elements.Select(e => (float)e.Buffer)]));
                continue;
            }

            items.Add(Singles($"{tensor}.step", [], 20));
            items.Add(Singles($"{tensor}.exp_avg", shape, [.. elements.Select(e => (float)e.M)]));
            items.Add(Singles($"{tensor}.exp_avg_sq", shape, [.. elements.Select(e => (float)e.V)]));
            if (rule.Reference.Amsgrad)
            {
                items.Add(Singles($"{tensor}.max_exp_avg_sq", shape, [.. elements.Select(e => (float)e.VMax)]));
            }
        }

        using Optimizer optimizer = rule.Create(model.Set);
        TorchState.Load(optimizer, new MemoryStream(Safetensors.Build([.. items])));
        for (int tensor = 0; tensor < expected.Length; tensor++)
        {
            expected[tensor].Select(e => (float)e.Theta).ToArray().CopyTo(model.Parameters[tensor], 0);
        }

        Step(21, 40);
        model.Step(optimizer, 21, 40);

        // Rounding in each of 20 steps; without the state, the first step alone is off by 1e-2.
        for (int tensor = 0; tensor < expected.Length; tensor++)
        {
            Assert.All(
                expected[tensor].Zip(model.Parameters[tensor]),
                pair => Assert.InRange(pair.Second - pair.First.Theta, -2e-6, 2e-6));
        }

        void Step(int first, int last)
        {
            for (int step = first; step <= last; step++)
            {
                model.SetGradients(step);
                for (int tensor = 0; tensor < expected.Length; tensor++)
                {
                    for (int i = 0; i < expected[tensor].Length; i++)
                    {
                        rule.Reference.Step(expected[tensor][i], model.Gradients[tensor][i], step);
                    }
                }
            }
        }
    }

    [Fact]
    public void Counts_steps_and_products_as_the_library_does()
    {
        using Model model = new(1);
        using Adam stepped = new(model.Set, new AdamOptions { Beta2 = 0.99 });
        for (int step = 0; step < 5000; step++)
        {
            stepped.Step();
        }

        byte[] file = Saved(stepped);
        using Model other = new(1);
        using Adam loaded = new(other.Set, new AdamOptions { Beta2 = 0.99 });
        TorchState.Load(loaded, new MemoryStream(file));
        Assert.Equal(
            (5000, stepped.Beta1Product, stepped.Beta2Product), (loaded.StepCount, loaded.Beta1Product, loaded.Beta2Product));
        Assert.NotEqual(0, stepped.Beta2Product);
    }

    /// <summary>Most of these steps leave the products at the least numbers there are.</summary>
    [Fact]
    public void Counts_long_runs()
    {
        using Target target = new();
        TorchState.Load(target.Optimizer, new MemoryStream(Safetensors.Build(Integers(1L << 53))));
        Assert.Equal(1L << 53, target.Optimizer.StepCount);
        Assert.InRange(target.Optimizer.Beta1Product, 0, 1e-300);
        Assert.InRange(target.Optimizer.Beta2Product, 0, 1e-300);
    }

    [Theory]
    [InlineData("a", "b.weight")]
    [InlineData("0", "1")]
    public void Takes_names_or_indices_and_every_type_of_step(string first, string second)
    {
        foreach (string type in new[] { "F32", "F64", "I64" })
        {
            using Target target = new();
            byte[] step = type switch
            {
                "F32" => BitConverter.GetBytes(3f),
                "F64" => BitConverter.GetBytes(3.0),
                _ => BitConverter.GetBytes(3L),
            };
            byte[] file = Safetensors.Build(
                Singles($"{second}.exp_avg_sq", [], 6),
                new($"{second}.step", type, [1], step),
                Halves($"{first}.exp_avg", DType.BFloat16, [1, 2], 1.5, -2),
                Halves($"{first}.exp_avg_sq", DType.Float16, [2, 1, 1], 3.25, 4),
                new($"{first}.step", type, [], step),
                Singles($"{second}.exp_avg", [1, 1, 1], 5));
            TorchState.Load(target.Optimizer, new ForwardOnlyStream(new MemoryStream(file)));
            Assert.Equal(
                (3, 0.5 * 0.5 * 0.5, 0.75 * 0.75 * 0.75),
                (target.Optimizer.StepCount, target.Optimizer.Beta1Product, target.Optimizer.Beta2Product));
            Assert.Equal([1.5f, -2], target.State(StateRole.ExpAvg, 0));
            Assert.Equal([3.25f, 4], target.State(StateRole.ExpAvgSq, 0));
            Assert.Equal([5], target.State(StateRole.ExpAvg, 1));
            Assert.Equal([6], target.State(StateRole.ExpAvgSq, 1));
        }
    }

    public static TheoryData<string, string, string> Bad => new()
    {
        { "a.exp_avg\"", "a.exp\"", "no \"a.exp_avg\"" },
        { "b.weight.step\"", "b.weight.steps\"", "no \"b.weight.step\"" },
        { "b.weight.exp_avg_sq\"", "b.weight.max_exp_avg_sq\"", "amsgrad, which this one is without" },
        { "b.weight.exp_avg_sq\"", "b.weight.momentum_buffer\"", "no \"b.weight.exp_avg_sq\"" },
        { "\"shape\":[2]", "\"shape\":[3]", "shape [3] in the file; the parameter has 2" },
        { "\"shape\":[2]", "\"shape\":[2,0]", "shape [2, 0]" },
        { "\"shape\":[2]", "\"shape\":[4294967296,4294967296]", "4294967296] in the file" },
        { "\"shape\":[2]", "\"shape\":[]", "shape []" },
        { "\"a.step\":{\"dtype\":\"I64\",\"shape\":[]", "\"a.step\":{\"dtype\":\"I64\",\"shape\":[2]", "one number" },
        { "\"I64\"", "\"I32\"", "I32 in the file; a step" },
        { "\"I64\"", "\"F32\"", "it must have 4" },
        { "\"F32\"", "\"F64\"", "F64 in the file; a state" },
        { "\"F32\"", "\"F16\"", "it must have 4" },
        { "[8,16]", "[9,17]", "begins at byte" },
    };

    [Theory]
    [MemberData(nameof(Bad))]
    public void Refuses_what_does_not_fit(string part, string replacement, string message)
    {
        byte[] file = Safetensors.Build(Integers(5));
        string text = Encoding.Latin1.GetString(file, sizeof(long), (int)BinaryPrimitives.ReadInt64LittleEndian(file));
        Assert.Contains(part, text, StringComparison.Ordinal);
        int position = text.IndexOf(part, StringComparison.Ordinal);
        byte[] header = Encoding.Latin1.GetBytes(text[..position] + replacement + text[(position + part.Length)..]);
        Refuses(
            message,
            [.. BitConverter.GetBytes((long)header.Length), .. header, .. file.AsSpan(sizeof(long) + text.Length)]);
    }

    [Fact]
    public void Refuses_steps_that_are_none()
    {
        Refuses("-1", Safetensors.Build(Integers(-1)));
        foreach (float step in new[] { 0.5f, -1, float.NaN, float.PositiveInfinity, 1e20f })
        {
            SafetensorsItem[] items = Integers(5);
            items[0] = Singles("a.step", [], step);
            Refuses("whole number", Safetensors.Build(items));
        }
    }

    /// <summary>torch has no state of a parameter that never had a gradient, and a step for each of the others.</summary>
    [Fact]
    public void Parameters_may_differ_in_steps_or_have_none()
    {
        using Model model = new(2, 1);
        using Adam optimizer = new(model.Set);
        model.Step(optimizer, 1, 3);
        byte[] file = Safetensors.Build(
            Integer("0.step", 5), Singles("0.exp_avg", [2], 1, 2), Singles("0.exp_avg_sq", [2], 3, 4));
        TorchState.Load(optimizer, new MemoryStream(file));
        Assert.Equal((5, 0, 5), (optimizer.GetStepCount(0), optimizer.GetStepCount(1), optimizer.StepCount));
        Assert.Equal([1, 2], Snapshot.Values(optimizer.GetState(StateRole.ExpAvg, 0)));
        Assert.Equal([0], Snapshot.Values(optimizer.GetState(StateRole.ExpAvg, 1)));
        Assert.Equal([0], Snapshot.Values(optimizer.GetState(StateRole.ExpAvgSq, 1)));
        Assert.Equal((1.0, 1.0), (optimizer.TensorStates()[1].running[0], optimizer.TensorStates()[1].running[1]));

        // Written and read again, both counts are there.
        using MemoryStream written = new();
        TorchState.Save(optimizer, written);
        model.Step(optimizer, 1, 3);
        TorchState.Load(optimizer, new MemoryStream(written.ToArray()));
        Assert.Equal((5, 0), (optimizer.GetStepCount(0), optimizer.GetStepCount(1)));
        Assert.Equal([1, 2], Snapshot.Values(optimizer.GetState(StateRole.ExpAvg, 0)));

        // SGD keeps no step; a momentum that there is none of is zero.
        using Model other = new(2, 1);
        using Sgd sgd = new(other.Set, new SgdOptions { Momentum = 0.5 });
        other.Step(sgd, 1, 3);
        TorchState.Load(sgd, new MemoryStream(Safetensors.Build(Singles("1.momentum_buffer", [1], 7))));
        Assert.Equal(3, sgd.GetStepCount(0));
        Assert.Equal([0, 0], Snapshot.Values(sgd.GetState(StateRole.MomentumBuffer, 0)));
        Assert.Equal([7], Snapshot.Values(sgd.GetState(StateRole.MomentumBuffer, 1)));

        // Its first step differs with dampening, so that a count follows from whether there is a momentum.
        using Model dampened = new(2, 1);
        using Sgd withDampening = new(dampened.Set, new SgdOptions { Momentum = 0.5, Dampening = 0.25 });
        TorchState.Load(withDampening, new MemoryStream(Safetensors.Build(Singles("1.momentum_buffer", [1], 7))));
        Assert.Equal((0, 1), (withDampening.GetStepCount(0), withDampening.GetStepCount(1)));
        dampened.Step(withDampening, 1, 1);
        Assert.Equal(dampened.Gradients[0], Snapshot.Values(withDampening.GetState(StateRole.MomentumBuffer, 0)));
        Assert.Equal(
            [(0.5f * 7) + (0.75f * dampened.Gradients[1][0])],
            Snapshot.Values(withDampening.GetState(StateRole.MomentumBuffer, 1)));

        // Something of a parameter, but not all of it, is no state.
        Refuses("no \"a.exp_avg_sq\"", Safetensors.Build([.. Integers(5).Where(static item => item.Name != "a.exp_avg_sq")]));
    }

    [Fact]
    public void Refuses_other_tensors_and_optimizers()
    {
        Refuses("\"c.exp_avg\", which", Safetensors.Build([.. Integers(5), Singles("c.exp_avg", [1], 1)]));
        Refuses("\"a.momentum_buffer\", which", Safetensors.Build([.. Integers(5), Singles("a.momentum_buffer", [2], 1, 2)]));
        Refuses("no \"a.", Safetensors.Build());
        Refuses("no \"a.momentum_buffer\"", Safetensors.Build(Integers(5)), set => new Sgd(set, new SgdOptions { Momentum = 0.5 }));
        Refuses("has no states", Safetensors.Build(Integers(5)), set => new Sgd(set));
        Refuses(
            "no \"a.max_exp_avg_sq\": it is of an optimizer without amsgrad", Safetensors.Build(Integers(5)),
            set => new Adam(set, new AdamOptions { Amsgrad = true }));
    }

    [Fact]
    public void Refuses_to_round()
    {
        const string Message = "the optimizer's state is BFloat16, to which it would have to be rounded";
        AdamOptions options = new() { StateType = DType.BFloat16 };
        SafetensorsItem[] items = Integers(5);
        items[1] = Singles("a.exp_avg", [2], 1, 0.1f);
        Refuses(
            $"\"a.exp_avg\" is Float32 in the file; {Message} (element 1)", Safetensors.Build(items), set => new Adam(set, options));
        items[1] = Halves("a.exp_avg", DType.BFloat16, [2], 1, 2);
        items[2] = Halves("a.exp_avg_sq", DType.Float16, [2], 0.1, 4);
        Refuses(
            $"\"a.exp_avg_sq\" is Float16 in the file; {Message} (element 0)", Safetensors.Build(items), set => new Adam(set, options));
        items[2] = Singles("a.exp_avg_sq", [2], 3, 1e-9f);
        Refuses(
            "\"a.exp_avg_sq\" is Float32 in the file; the optimizer's state is Float16, to which it would have to be rounded "
            + "(element 1)",
            Safetensors.Build(items), set => new Adam(set, new AdamOptions { StateType = DType.Float16 }));
    }

    [Theory]
    [InlineData(DType.BFloat16)]
    [InlineData(DType.Float16)]
    public void Numbers_that_need_no_rounding_go_into_short_states(DType type)
    {
        float[] values = [1, -2.5f, 0, -0f, float.NaN, float.PositiveInfinity, MathF.ScaleB(1, -14)];
        using Model model = new(values.Length);
        using Adam optimizer = new(model.Set, new AdamOptions { StateType = type });
        long[] shape = [values.Length];
        TorchState.Load(
            optimizer,
            new MemoryStream(
                Safetensors.Build(
                    Integer("0.step", 5), Singles("0.exp_avg", shape, values),
                    Halves("0.exp_avg_sq", DType.Float16, shape, [.. values.Select(static value => (double)value)]))));
        foreach (StateRole role in optimizer.StateRoles)
        {
            Assert.Equal(type, optimizer.GetState(role, 0).DType);
            Assert.Equal(values, Snapshot.Values(optimizer, role, 0));
            Assert.True(float.IsNegative(Snapshot.Values(optimizer, role, 0)[3]));
        }
    }

    [Fact]
    public void States_of_16_bits_stay_what_they_are()
    {
        AdamOptions options = new() { StateType = DType.BFloat16 };
        using Model model = new(3, 1);
        using Adam optimizer = new(model.Set, options);
        model.Step(optimizer, 1, 4);
        byte[] file = Saved(optimizer);

        // A float32 behind an odd number of 16 bits could not be viewed in place.
        Assert.All(
            SafetensorsHeader.Read(new MemoryStream(file)).Entries,
            entry => Assert.Equal(0, entry.Begin % (entry.DType == "F32" ? sizeof(float) : sizeof(ushort))));

        using Model same = new(3, 1);
        using Adam shortStates = new(same.Set, options);
        TorchState.Load(shortStates, new MemoryStream(file));
        using Model longer = new(3, 1);
        using Adam longStates = new(longer.Set);
        TorchState.Load(longStates, new MemoryStream(file));
        foreach (StateRole role in optimizer.StateRoles)
        {
            float[] values = Snapshot.Values(optimizer.GetState(role, 0));
            Assert.All(values, value => Assert.NotEqual(0, value));
            Assert.Equal(values, Snapshot.Values(shortStates.GetState(role, 0)));
            Assert.Equal(values, Snapshot.Values(longStates.GetState(role, 0)));
        }
    }

    /// <summary>More than one piece of a copy and of a conversion.</summary>
    [Fact]
    public void Takes_large_tensors()
    {
        const int Size = 3_000_001;
        double[] values = [.. Model.Values(Size, 5).Select(value => Rounding.ToNearest(DType.BFloat16, value))];
        using Model model = new(Size);
        using Adam optimizer = new(model.Set);
        TorchState.Load(
            optimizer,
            new MemoryStream(
                Safetensors.Build(
                    Integer("0.step", 1), Halves("0.exp_avg", DType.BFloat16, [Size], values),
                    Singles("0.exp_avg_sq", [Size], [.. values.Select(value => (float)value)]))));
        float[] expected = [.. values.Select(value => (float)value)];
        Assert.Equal(expected, Snapshot.Values(optimizer.GetState(StateRole.ExpAvg, 0)));
        Assert.Equal(expected, Snapshot.Values(optimizer.GetState(StateRole.ExpAvgSq, 0)));
    }

    [Fact]
    public void Master_weights_and_parameters_stay_as_they_are()
    {
        using MixedModel model = new(new MixedTensor(5, DType.BFloat16, DType.BFloat16));
        using Adam optimizer = new(model.Set, new AdamOptions { MasterWeights = MasterWeights.Float32 });
        model.Step(optimizer, 1, 3);
        byte[] file = Saved(optimizer);
        Assert.DoesNotContain(
            SafetensorsHeader.Read(new MemoryStream(file)).Entries,
            entry => entry.Name.EndsWith("param", StringComparison.Ordinal));
        model.Step(optimizer, 4, 5);
        string parameter = Snapshot.Bits(model.Parameters[0]);
        string master = Snapshot.Bits(optimizer.GetState(StateRole.MasterParam, 0));
        TorchState.Load(optimizer, new MemoryStream(file));
        Assert.Equal(3, optimizer.StepCount);
        Assert.Equal(parameter, Snapshot.Bits(model.Parameters[0]));
        Assert.Equal(master, Snapshot.Bits(optimizer.GetState(StateRole.MasterParam, 0)));
    }

    [Fact]
    public void A_truncated_or_failing_file_changes_nothing()
    {
        using Model model = new([2, 1], Named);
        using Adam optimizer = new(model.Set);
        byte[] file = Safetensors.Build(Integers(5));
        for (int length = 0; length < file.Length; length++)
        {
            byte[] part = file[..length];
            Snapshot.Unchanged<InvalidDataException>(optimizer, () => TorchState.Load(optimizer, new MemoryStream(part)));
            Snapshot.Unchanged<IOException>(optimizer, () => TorchState.Load(optimizer, new FailingStream(file, length)));
            Snapshot.Unchanged<IOException>(optimizer, () => TorchState.Save(optimizer, new FailingStream(file, length / 2)));
        }

        Snapshot.Unchanged<InvalidDataException>(optimizer, () => TorchState.Load(optimizer, new MemoryStream([.. file, 0])));
        CancellationToken cancelled = new(canceled: true);
        Snapshot.Unchanged<OperationCanceledException>(
            optimizer, () => TorchState.Load(optimizer, new MemoryStream(file), cancellationToken: cancelled));
    }

    [Fact]
    public void A_cancelled_save_leaves_the_old_file()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("state");
        File.WriteAllText(path, "old");
        using Model model = new(Sizes);
        using Adam optimizer = new(model.Set);
        Assert.Throws<OperationCanceledException>(
            () => TorchState.Save(optimizer, path, cancellationToken: new CancellationToken(canceled: true)));
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFileSystemEntries(folder.Path));
    }

    [Fact]
    public void A_step_during_a_save_is_noticed()
    {
        using Model model = new(Sizes);
        using Adam optimizer = new(model.Set);
        Assert.Throws<ConcurrentUseException>(() => TorchState.Save(optimizer, new SteppingStream(optimizer)));
    }

    /// <summary>torch's own count would stand still at 2^24.</summary>
    [Fact]
    public void A_count_that_float32_cannot_hold_is_not_saved()
    {
        using Model model = new(1);
        using Adam optimizer = new(model.Set);
        optimizer.StepCount = (1 << 24) + 1;
        Assert.Contains(
            "16777217", Assert.Throws<InvalidOperationException>(() => Saved(optimizer)).Message, StringComparison.Ordinal);
        optimizer.StepCount = 1 << 24;
        Assert.NotEmpty(Saved(optimizer));
    }

    [Fact]
    public void Tells_its_files_from_those_of_the_optimizers_own_Save()
    {
        using TemporaryFolder folder = new();
        using Model model = new(Sizes);
        using Adam optimizer = new(model.Set);
        string path = folder.File("own");
        optimizer.Save(path);
        string message =
            Snapshot.Unchanged<InvalidDataException>(optimizer, () => TorchState.Load(optimizer, path)).Message;
        Assert.StartsWith(path + ": ", message, StringComparison.Ordinal);
        Assert.Contains("Optimizer.Save wrote", message, StringComparison.Ordinal);
        TorchState.Save(optimizer, path);
        Assert.Contains(
            "format is \"pt\"", Assert.Throws<InvalidDataException>(() => optimizer.Load(path)).Message, StringComparison.Ordinal);
    }

    /// <summary>torch itself, by way of the two scripts that docs/torch.md prints.</summary>
    [SkippableTheory]
    [InlineData("Adam")]
    [InlineData("Adam amsgrad")]
    [InlineData("AdamW")]
    [InlineData("SGD")]
    [InlineData("SGD dampening")]
    [InlineData("RAdam")]
    [InlineData("NAdam")]
    [InlineData("Adamax")]
    [InlineData("Adagrad")]
    [InlineData("Adadelta")]
    [InlineData("RMSprop")]
    [InlineData("Rprop")]
    [InlineData("ASGD")]
    public void Torch_goes_on_from_here_and_back(string name)
    {
        string python = PythonWithTorch.Value ?? throw new SkipException("There is no python3 with numpy and torch.");
        using TemporaryFolder folder = new();
        const int Half = 20;
        using Model here = new([6, 1], Named);
        using Optimizer optimizer = Create(name, here.Set);
        WriteModel("initial.bin", here);
        WriteGradients("gradients.bin", here);

        // torch from 1 to 20, and from 1 to 40; then from 21 to 40 with the state and the parameters of 20 steps here.
        here.Step(optimizer, 1, Half);
        TorchState.Save(optimizer, folder.File("ours.safetensors"));
        WriteModel("ours.bin", here);
        string docs = File.ReadAllText(Path.Combine(RepositoryRoot.Path, "docs", "torch.md"));
        string scripts = string.Join('\n', PythonBlocks().Matches(docs).Select(match => match.Groups[1].Value));
        (int exitCode, string output) = ChildProcess.Run(
            python, ["-c", $"{Prelude}\n{scripts}\n{Driver}", folder.Path, name, .. Named.Select(tensor => tensor.Name!)]);
        Assert.True(exitCode == 0, output);

        float[] torchs40 = ReadModel("torch40.bin");
        Near(torchs40, ReadModel("continued.bin"));

        // Here from 21 to 40 with torch's state and parameters after 20.
        using Model second = new([6, 1], Named);
        using Optimizer resumed = Create(name, second.Set);
        second.Step(resumed, 60, 62); // what is there before does not matter
        float[] parameters = ReadModel("torch20.bin");
        parameters.AsSpan(0, 6).CopyTo(second.Parameters[0]);
        parameters.AsSpan(6).CopyTo(second.Parameters[1]);
        TorchState.Load(resumed, folder.File("torch.safetensors"));
        second.Step(resumed, Half + 1, 2 * Half);
        Near(torchs40, [.. second.Parameters.SelectMany(tensor => tensor)]);

        // Rounding in each of 40 steps; without the state, the first step alone is off by 1e-2.
        void Near(float[] expected, float[] actual) =>
            Assert.All(expected.Zip(actual, (a, b) => a - b), difference => Assert.InRange(difference, -2e-6, 2e-6));

        void WriteModel(string file, Model model) => File.WriteAllBytes(folder.File(file), model.ParameterBytes());

        void WriteGradients(string file, Model model)
        {
            using FileStream stream = File.Create(folder.File(file));
            for (int step = 1; step <= 2 * Half; step++)
            {
                model.SetGradients(step);
                model.Gradients.ToList().ForEach(
                    tensor => stream.Write(MemoryMarshal.AsBytes(tensor.AsSpan())));
            }
        }

        float[] ReadModel(string file) =>
            MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(folder.File(file))).ToArray();
    }

    private const string Prelude =
        """
        import json, os, struct, sys, types
        import numpy, torch
        try:
            import safetensors.torch
        except ImportError:
            # As much of it as the two scripts use.
            types_of = {"F32": torch.float32, "I64": torch.int64}
            def save_file(tensors, path):
                header, data = {}, b""
                for name, tensor in tensors.items():
                    begin, values = len(data), tensor.numpy().tobytes()
                    data += values
                    dtype = next(key for key, dtype in types_of.items() if dtype == tensor.dtype)
                    header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [begin, len(data)]}
                text = json.dumps(header).encode()
                with open(path, "wb") as file:
                    file.write(struct.pack("<Q", len(text)) + text + data)
            def load_file(path):
                file = open(path, "rb").read()
                length, = struct.unpack("<Q", file[:8])
                header, data, tensors = json.loads(file[8:8 + length]), bytearray(file[8 + length:]), {}
                header.pop("__metadata__")
                for name, entry in header.items():
                    begin, end = entry["data_offsets"]
                    tensor = torch.frombuffer(data, dtype=torch.uint8)[begin:end].view(types_of[entry["dtype"]])
                    tensors[name] = tensor.reshape(entry["shape"]).clone()
                return tensors
            package, module = types.ModuleType("safetensors"), types.ModuleType("safetensors.torch")
            module.save_file, module.load_file, package.torch = save_file, load_file, module
            sys.modules["safetensors"], sys.modules["safetensors.torch"] = package, module
        """;

    private const string Driver =
        """
        folder, kind, names = sys.argv[1], sys.argv[2], sys.argv[3:]
        gradients = numpy.fromfile(os.path.join(folder, "gradients.bin"), dtype=numpy.float32).reshape(40, 7)

        def make(file):
            values = torch.from_numpy(numpy.fromfile(os.path.join(folder, file), dtype=numpy.float32))
            parameters = [torch.nn.Parameter(values[:6].clone().reshape(2, 3)), torch.nn.Parameter(values[6].clone())]
            decay = dict(lr=1e-2, weight_decay=0.05)
            moments = dict(betas=(0.8, 0.9), **decay)
            options = {
                "Adam": moments,
                "Adam amsgrad": dict(amsgrad=True, **moments),
                "AdamW": moments,
                "SGD": dict(momentum=0.9, nesterov=True, **decay),
                "SGD dampening": dict(momentum=0.9, dampening=0.3, **decay),
                "RAdam": moments,
                # Without foreach, torch up to 1.13 multiplies by the momentum's decay rate once too often.
                "NAdam": dict(foreach=True, **moments),
                "Adamax": moments,
                "Adagrad": dict(lr_decay=0.1, initial_accumulator_value=0.5, **decay),
                "Adadelta": decay,
                "RMSprop": dict(momentum=0.9, centered=True, **decay),
                "Rprop": dict(lr=1e-2),
                "ASGD": dict(lambd=0.1, t0=10, **decay),
            }[kind]
            return parameters, getattr(torch.optim, kind.split()[0])(parameters, **options)

        def steps(parameters, optimizer, first, last):
            for step in range(first, last + 1):
                values = torch.from_numpy(gradients[step - 1].copy())
                parameters[0].grad, parameters[1].grad = values[:6].reshape(2, 3), values[6]
                optimizer.step()

        def write(parameters, file):
            numpy.concatenate([p.detach().numpy().ravel() for p in parameters]).tofile(os.path.join(folder, file))

        parameters, optimizer = make("initial.bin")
        steps(parameters, optimizer, 1, 20)
        write(parameters, "torch20.bin")
        save_state(optimizer, names, os.path.join(folder, "torch.safetensors"))
        steps(parameters, optimizer, 21, 40)
        write(parameters, "torch40.bin")

        parameters, optimizer = make("ours.bin")
        load_state(optimizer, names, os.path.join(folder, "ours.safetensors"))
        steps(parameters, optimizer, 21, 40)
        write(parameters, "continued.bin")
        """;

    [GeneratedRegex("```python\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex PythonBlocks();

    private static Optimizer Create(string name, ParameterSet set) => name switch
    {
        "SGD" => new Sgd(set, new SgdOptions { LearningRate = 1e-2, Momentum = 0.9, Nesterov = true, WeightDecay = 0.05 }),
        "AdamW" => new AdamW(set, new AdamWOptions { LearningRate = 1e-2, Beta1 = 0.8, Beta2 = 0.9, WeightDecay = 0.05 }),
        "SGD dampening" => new Sgd(
            set, new SgdOptions { LearningRate = 1e-2, Momentum = 0.9, Dampening = 0.3, WeightDecay = 0.05 }),
        "RAdam" => new RAdam(set, new RAdamOptions { LearningRate = 1e-2, Beta1 = 0.8, Beta2 = 0.9, WeightDecay = 0.05 }),
        "NAdam" => new NAdam(set, new NAdamOptions { LearningRate = 1e-2, Beta1 = 0.8, Beta2 = 0.9, WeightDecay = 0.05 }),
        "Adamax" => new Adamax(set, new AdamaxOptions { LearningRate = 1e-2, Beta1 = 0.8, Beta2 = 0.9, WeightDecay = 0.05 }),
        "Adagrad" => new Adagrad(
            set,
            new AdagradOptions { LearningRate = 1e-2, LearningRateDecay = 0.1, InitialAccumulatorValue = 0.5, WeightDecay = 0.05 }),
        "Adadelta" => new Adadelta(set, new AdadeltaOptions { LearningRate = 1e-2, WeightDecay = 0.05 }),
        "RMSprop" => new RmsProp(set, new RmsPropOptions { LearningRate = 1e-2, Momentum = 0.9, Centered = true, WeightDecay = 0.05 }),
        "Rprop" => new Rprop(set, new RpropOptions { LearningRate = 1e-2 }),
        "ASGD" => new Asgd(set, new AsgdOptions { LearningRate = 1e-2, Lambd = 0.1, T0 = 10, WeightDecay = 0.05 }),
        _ => new Adam(
            set,
            new AdamOptions
            {
                LearningRate = 1e-2,
                Beta1 = 0.8,
                Beta2 = 0.9,
                WeightDecay = 0.05,
                Amsgrad = name.EndsWith("amsgrad", StringComparison.Ordinal),
            }),
    };

    /// <summary>The first of the usual interpreters that has torch, or null.</summary>
    private static string? FindPythonWithTorch()
    {
        foreach (string python in new[] { "python3", "/usr/bin/python3" })
        {
            try
            {
                if (ChildProcess.Run(python, ["-c", "import numpy, torch"]).ExitCode == 0)
                {
                    return python;
                }
            }
            catch (System.ComponentModel.Win32Exception)
            {
                // Not there.
            }
        }

        return null;
    }

    /// <summary>A good file of the target, with steps of I64.</summary>
    private static SafetensorsItem[] Integers(long step) =>
    [
        Integer("a.step", step), Singles("a.exp_avg", [2], 1, 2), Singles("a.exp_avg_sq", [2], 3, 4),
        Integer("b.weight.step", step), Singles("b.weight.exp_avg", [1], 5), Singles("b.weight.exp_avg_sq", [1], 6),
    ];

    private static byte[] Saved(Optimizer optimizer)
    {
        using MemoryStream stream = new();
        TorchState.Save(optimizer, stream);
        return stream.ToArray();
    }

    private static void Refuses(string message, byte[] file, Func<ParameterSet, Optimizer>? create = null)
    {
        using Target target = new(create);
        Assert.Contains(
            message,
            Snapshot.Unchanged<InvalidDataException>(
                target.Optimizer, () => TorchState.Load(target.Optimizer, new MemoryStream(file))).Message,
            StringComparison.Ordinal);
    }

    /// <summary>Two tensors that have taken steps.</summary>
    private sealed class Target : IDisposable
    {
        private readonly Model _model = new([2, 1], Named);

        public Target(Func<ParameterSet, Optimizer>? create = null)
        {
            Optimizer = create?.Invoke(_model.Set) ?? new Adam(_model.Set, new AdamOptions { Beta1 = 0.5, Beta2 = 0.75 });
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
