using System.Buffers.Binary;
using System.Text;
using NativeOpt.Tests.Support;
using Xunit;
using static NativeOpt.Tests.Support.SafetensorsItem;

namespace NativeOpt.Tests.Groups;

/// <summary>Groups in state files, and in those of torch and TorchSharp.</summary>
public class GroupStateTests
{
    private static readonly TensorOptions[] TwoGroups =
        [new() { Name = "a", Group = 1 }, new() { Name = "b" }, new() { Name = "c", Group = 1 }];

    private static readonly AdamOptions[] TwoOptions = [new(), new() { Beta1 = 0.5, Beta2 = 0.75, LearningRate = 0.01 }];

    public static TheoryData<string> Names => GroupedModel.Names;

    [Theory]
    [MemberData(nameof(Names))]
    public void Resume_bit_for_bit(string name)
    {
        using GroupedModel model = GroupedModel.Of(name);
        model.Step(1, 2);
        (model.Optimizer.Groups[1].StepCount, model.Optimizers[1].StepCount) = (9, 9); // as if it had come earlier
        model.Step(3, 4);
        using MemoryStream file = new();
        model.Optimizer.Save(file, includeParameters: true);
        string saved = Snapshot.Of(model.Optimizer);
        using GroupedModel other = GroupedModel.Of(name);
        other.Step(20, 21);
        file.Position = 0;
        other.Optimizer.Load(file);
        Assert.Equal(saved, Snapshot.Of(other.Optimizer));
        model.Step(5, 6);
        other.SetGradients(5);
        other.Optimizer.Step();
        other.SetGradients(6);
        other.Optimizer.Step();
        Assert.Equal(Snapshot.Of(model.Optimizer), Snapshot.Of(other.Optimizer));
        model.RequireSame();
    }

    [Fact]
    public void The_metadata_has_every_groups_count_and_every_tensors_group()
    {
        using Model model = new([2, 1, 3], TwoGroups);
        using Adam optimizer = new(model.Set, TwoOptions);
        model.Step(optimizer, 1, 2);
        (optimizer.Groups[1].StepCount, optimizer.Groups[1].Beta1Product, optimizer.Groups[1].Beta2Product) = (7, 0.25, 0.5625);
        IReadOnlyDictionary<string, string> metadata = SafetensorsHeader.Read(new MemoryStream(Saved(optimizer))).Metadata;
        Assert.Equal(
            ("2", "2 7", "0.81 0.25", "0.998001 0.5625"),
            (metadata["group_count"], metadata["step"], metadata["beta1_product"], metadata["beta2_product"]));
        Assert.Equal(("1", "0", "1"), (metadata["a.group"], metadata["b.group"], metadata["c.group"]));

        // One group says nothing of groups, as files did before there were any.
        using Model plain = new([2, 1, 3], [.. TwoGroups.Select(static tensor => tensor with { Group = 0 })]);
        using Adam one = new(plain.Set, [new()]);
        Assert.DoesNotContain(
            SafetensorsHeader.Read(new MemoryStream(Saved(one))).Metadata.Keys,
            static key => key.Contains("group", StringComparison.Ordinal));
    }

    [Fact]
    public void Files_of_other_groups_are_refused()
    {
        using Model model = new([2, 1, 3], TwoGroups);
        using Adam optimizer = new(model.Set, TwoOptions);
        model.Step(optimizer, 1, 2);
        byte[] file = Saved(optimizer);
        Refuses("The file has 2 groups of hyperparameters, the optimizer has 1.", file, [0, 0, 0], 1);
        Refuses("The file has 2 groups of hyperparameters, the optimizer has 3.", file, [1, 0, 1], 3);
        Refuses("tensor 2 (\"c\") is in group 1; in the set it is in group 0", file, [1, 0, 0], 2);
        using (Model plain = new([2, 1, 3], [.. TwoGroups.Select(static tensor => tensor with { Group = 0 })]))
        {
            using Adam one = new(plain.Set);
            Refuses("The file has 1 groups of hyperparameters, the optimizer has 2.", Saved(one), [1, 0, 1], 2);
        }

        // Damage that the digest does not see, since there is none.
        Damaged("\"group_count\":\"2\"", "\"group_count\":\"x\"", "group_count is \"x\"");
        Damaged("\"step\":\"2 2\"", "\"step\":\"2.2\"", "step is \"2.2\"; it must be 2 numbers, one for each group");
        Damaged("\"step\":\"2 2\"", "\"step\":\"2 -\"", "step is \"-\"; it must be a whole number");
        Damaged("\"b.group\":\"0\"", "\"d.group\":\"0\"", "metadata has no b.group");
        Damaged("\"rule\":\"adam\"", "\"x.group\":\"1\",\"rule\":\"adam\"", "has \"x.group\", but the set has no such tensor");

        void Damaged(string from, string to, string message)
        {
            int length = (int)BinaryPrimitives.ReadInt64LittleEndian(file);
            string json = Encoding.UTF8.GetString(file, sizeof(long), length);
            Assert.Contains(from, json, StringComparison.Ordinal);
            int digest = json.IndexOf("\"header_sha256\":", StringComparison.Ordinal);
            json = json.Remove(digest, json.IndexOf(',', digest) + 1 - digest).Replace(from, to, StringComparison.Ordinal);
            byte[] text = Encoding.UTF8.GetBytes(json);
            byte[] prefix = new byte[sizeof(long)];
            BinaryPrimitives.WriteInt64LittleEndian(prefix, text.Length);
            Refuses(message, [.. prefix, .. text, .. file[(sizeof(long) + length)..]], [1, 0, 1], 2);
        }

        static void Refuses(string message, byte[] file, int[] groups, int count)
        {
            using Model other = new([2, 1, 3], [.. TwoGroups.Zip(groups, static (tensor, group) => tensor with { Group = group })]);
            using Adam optimizer = new(other.Set, [.. Enumerable.Range(0, count).Select(static _ => new AdamOptions())]);
            other.Step(optimizer, 1, 1);
            Assert.Contains(
                message,
                Snapshot.Unchanged<InvalidDataException>(optimizer, () => optimizer.Load(new MemoryStream(file))).Message,
                StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Dimers_around_groups_resume_bit_for_bit()
    {
        string[] results = [.. new[] { false, true }.Select(static interrupted =>
        {
            Model model = new([2, 1, 3], TwoGroups);
            Adam optimizer = new(model.Set, TwoOptions);
            DimerOptimizer dimer = new(optimizer, new DimerOptions { Interval = 2 });
            for (int step = 1; step <= 6; step++)
            {
                model.SetGradients(step);
                dimer.Step(static () => 1);
                if (interrupted && step == 3)
                {
                    using MemoryStream file = new();
                    dimer.Save(file, includeParameters: true);
                    dimer.Dispose();
                    optimizer.Dispose();
                    model.Dispose();
                    model = new([2, 1, 3], TwoGroups);
                    optimizer = new(model.Set, TwoOptions);
                    dimer = new(optimizer, new DimerOptions { Interval = 2 });
                    file.Position = 0;
                    dimer.Load(file);
                }
            }

            string result = DimerSnapshot.Of(dimer);
            dimer.Dispose();
            optimizer.Dispose();
            model.Dispose();
            return result;
        })];
        Assert.Equal(results[0], results[1]);
    }

    [Fact]
    public void Torch_counts_the_steps_of_each_group()
    {
        using Model model = new([2, 1, 3], TwoGroups);
        using Adam optimizer = new(model.Set, TwoOptions);
        model.Step(optimizer, 1, 3);
        (optimizer.StepCount, optimizer.Beta1Product, optimizer.Beta2Product) = (1, 0.9, 0.999);
        using MemoryStream file = new();
        TorchState.Save(optimizer, file);
        string saved = Snapshot.Of(optimizer);
        byte[] bytes = file.ToArray();
        int begin = sizeof(long) + (int)BinaryPrimitives.ReadInt64LittleEndian(bytes);
        Assert.Equal([3, 1, 3], Enumerable.Range(0, 3).Select(tensor => BitConverter.ToSingle(bytes, begin + (4 * tensor))));

        // Back, with the products of each group's betas.
        foreach (OptimizerGroup group in optimizer.Groups)
        {
            (group.StepCount, group.Beta1Product) = (100, 0.7);
        }

        TorchState.Load(optimizer, new MemoryStream(bytes));
        Assert.Equal(saved, Snapshot.Of(optimizer));
        optimizer.Groups[1].StepCount = (1 << 24) + 1;
        Assert.Contains(
            "16777217", Assert.Throws<InvalidOperationException>(() => TorchState.Save(optimizer, Stream.Null)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Torchs_steps_are_each_parameters_own()
    {
        using Model model = new([1, 1, 1], TwoGroups);
        using Adam optimizer = new(model.Set, TwoOptions);
        TorchState.Load(optimizer, new MemoryStream(File(4, 9, 4)));
        Assert.Equal([9, 4], optimizer.Groups.Select(static group => group.StepCount));
        Assert.Equal(0.0625, optimizer.Groups[1].Beta1Product);
        TorchState.Load(optimizer, new MemoryStream(File(4, 9, 5)));
        Assert.Equal([4, 9, 5], Enumerable.Range(0, 3).Select(optimizer.GetStepCount));
        Assert.Equal([9, 5], optimizer.Groups.Select(static group => group.StepCount));
        Assert.Equal([0.0625, Math.Pow(0.9, 9), 0.03125], optimizer.TensorStates().Select(static state => state.running[0]), Near);
        using MemoryStream saved = new();
        TorchState.Save(optimizer, saved);
        byte[] bytes = saved.ToArray();
        int begin = sizeof(long) + (int)BinaryPrimitives.ReadInt64LittleEndian(bytes);
        Assert.Equal([4, 9, 5], Enumerable.Range(0, 3).Select(tensor => BitConverter.ToSingle(bytes, begin + (4 * tensor))));

        static bool Near(double expected, double actual) => Math.Abs(expected - actual) <= 1e-15;

        static byte[] File(params long[] steps) => Safetensors.Build(
            [.. steps.SelectMany((step, tensor) =>
            {
                string name = TwoGroups[tensor].Name!;
                return new[] { Integer($"{name}.step", step), Singles($"{name}.exp_avg", [1], 2), Singles($"{name}.exp_avg_sq", [1], 3) };
            })]);
    }

    /// <summary>One of TorchSharp's groups for each run of tensors of one group here, with that one's options and steps.</summary>
    [Fact]
    public void TorchSharp_has_the_options_and_steps_of_each_group()
    {
        TensorOptions[] tensors = [new(), new(), new() { Group = 1 }, new() { Group = 1, WeightDecay = 0.5 }];
        using Model model = new([1, 1, 1, 1], tensors);
        using Adam optimizer = new(model.Set, TwoOptions);
        model.Step(optimizer, 1, 3);
        (optimizer.StepCount, optimizer.Beta1Product, optimizer.Beta2Product) = (1, 0.9, 0.999);
        byte[] file = SavedForTorchSharp(optimizer);
        const int Head = 5;
        const int GroupBytes = (6 * sizeof(double)) + 2;
        Assert.Equal([3, 4], file[Head..(Head + 2)]);
        Assert.Equal(
            [(1e-3, 0.9, 0.999, 0), (0.01, 0.5, 0.75, 0), (0.01, 0.5, 0.75, 0.5)],
            Enumerable.Range(0, 3).Select(group => (Number(group, 0), Number(group, 2), Number(group, 3), Number(group, 5))));
        string saved = Snapshot.Of(optimizer);
        foreach (OptimizerGroup group in optimizer.Groups)
        {
            (group.StepCount, group.Beta1Product) = (100, 0.7);
        }

        TorchSharpState.Load(optimizer, new MemoryStream(file));
        Assert.Equal(saved, Snapshot.Of(optimizer));

        // The file's groups are runs of tensors here; as many, or it is not known which is which.
        using Model other = new([1, 1, 1, 1], [new(), new(), new() { Group = 1 }, new() { Group = 1 }]);
        using Adam two = new(other.Set, TwoOptions);
        Assert.Contains(
            "The file has 3 parameter groups, but the set has 2 runs", Refused(two, file), StringComparison.Ordinal);

        // Of one group all must be alike.
        using Model plain = new([1, 1, 1, 1]);
        using Adam one = new(plain.Set);
        Assert.Contains("Parameter group 0 has the betas 0.9 and 0.999 in the file, group 1", Refused(one, file), StringComparison.Ordinal);
        byte[] otherBetas = [.. file];
        otherBetas[Head + 2 + (2 * GroupBytes) + (2 * sizeof(double)) + 6] ^= 0x08;
        Assert.Contains("Parameter group 1 has the betas 0.5 and 0.75 in the file, group 2", Refused(optimizer, otherBetas), StringComparison.Ordinal);
        byte[] otherSteps = [.. file];
        const int TensorBytes = sizeof(long) + (2 * (2 + 1 + sizeof(float))) + 1;
        otherSteps[Head + 2 + (3 * GroupBytes) + (3 * TensorBytes)] = 9;
        TorchSharpState.Load(optimizer, new MemoryStream(otherSteps));
        Assert.Equal([1, 1, 3, 9], Enumerable.Range(0, 4).Select(optimizer.GetStepCount));
        Assert.Equal((9, Math.Pow(0.5, 9)), (optimizer.Groups[1].StepCount, optimizer.Groups[1].Beta1Product));
        Assert.Equal(otherSteps, SavedForTorchSharp(optimizer));

        double Number(int group, int index) =>
            BitConverter.ToDouble(file, Head + 2 + (group * GroupBytes) + (index * sizeof(double)));

        static string Refused(Optimizer optimizer, byte[] file) => Snapshot.Unchanged<InvalidDataException>(
            optimizer, () => TorchSharpState.Load(optimizer, new MemoryStream(file))).Message;
    }

    [Fact]
    public void TorchSharp_is_Adam_or_AdamW_for_all()
    {
        using Model model = new([1, 1], [new(), new() { Group = 1 }]);
        using (Adam mixed = new(model.Set, [new(), new() { DecoupledWeightDecay = true }]))
        {
            Assert.Contains(
                "Adam or AdamW for all",
                Assert.Throws<NotSupportedException>(() => SavedForTorchSharp(mixed)).Message,
                StringComparison.Ordinal);
        }

        using Sgd maximizes = new(model.Set, [new(), new() { Maximize = true }]);
        Assert.Contains(
            "maximize", Assert.Throws<NotSupportedException>(() => SavedForTorchSharp(maximizes)).Message, StringComparison.Ordinal);
    }

    private static byte[] Saved(Optimizer optimizer)
    {
        using MemoryStream stream = new();
        optimizer.Save(stream);
        return stream.ToArray();
    }

    private static byte[] SavedForTorchSharp(Optimizer optimizer)
    {
        using MemoryStream stream = new();
        TorchSharpState.Save(optimizer, stream, [.. Enumerable.Repeat(new long[] { 1 }, optimizer.ParameterSet.Count)]);
        return stream.ToArray();
    }
}
