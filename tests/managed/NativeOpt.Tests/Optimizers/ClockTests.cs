using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Optimizers;

/// <summary>The step count belongs to the tensor: without a gradient it does not step.</summary>
public unsafe class ClockTests
{
    private const double LearningRate = 1e-3;

    private static readonly TensorOptions[] InGroups = [new() { Name = "a" }, new() { Name = "b", Group = 1 }, new() { Name = "c" }];

    public static TheoryData<string> Names => Rules.OptimizerNames;

    public static TheoryData<string> RuleNames => [.. Rule.All.Select(static rule => rule.Name)];

    /// <summary>
    /// A constant gradient makes each of Adam's steps lr long. So it must for a tensor whose gradient comes from the 1,000th
    /// step on, with groups, and across a state file or another optimizer.
    /// </summary>
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void Late_gradients_take_steps_of_the_right_length(int resume)
    {
        const int Late = 1000;
        const int Last = 1020;
        Model model = new([4, 4, 4], InGroups);
        Adam optimizer = new(model.Set, [new(), new()]);
        foreach (float[] gradient in model.Gradients)
        {
            Array.Fill(gradient, 0.5f);
        }

        // The groups are 0, 1 and 0: one late tensor has a group of its own, the other is with one that is not late.
        nint[] all = [.. model.Gradients.Select(static gradient => (nint)System.Runtime.CompilerServices.Unsafe.AsPointer(ref gradient[0]))];
        nint[] early = [all[0], 0, 0];
        for (int step = 1; step <= Last; step++)
        {
            if (step == Late + 10 && resume > 0)
            {
                (model, optimizer) = Resume(model, optimizer, resume == 1);
            }

            // The arrays are pinned by the set.
            all = [.. model.Gradients.Select(static gradient => (nint)System.Runtime.CompilerServices.Unsafe.AsPointer(ref gradient[0]))];
            early = [all[0], 0, 0];
            model.Set.SetGradients(step < Late ? early : all);
            float[] before = [.. model.Parameters.Select(static values => values[0])];
            optimizer.Step();
            for (int tensor = 0; tensor < 3; tensor++)
            {
                double length = step < Late && tensor > 0 ? 0 : LearningRate;
                double moved = (double)before[tensor] - model.Parameters[tensor][0];
                Assert.Equal(length, moved, 1.01 * Math.BitIncrement(MathF.Abs(before[tensor])) * Math.Pow(2, -23) + (length * 1e-5));
                Assert.Equal(tensor > 0 ? Math.Max(0, step - Late + 1) : step, optimizer.GetStepCount(tensor));
            }
        }

        Assert.Equal((Last, Last), (optimizer.StepCount, optimizer.Groups[1].StepCount));
        Assert.Equal("tensor", Assert.Throws<ArgumentOutOfRangeException>(() => optimizer.GetStepCount(3)).ParamName);
        optimizer.Dispose();
        Assert.Throws<ObjectDisposedException>(() => optimizer.GetStepCount(0));
        model.Dispose();
    }

    /// <summary>A late tensor is what it would be in a model that began with it, bit for bit, for every rule.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void Late_tensors_are_as_in_a_fresh_model(string name)
    {
        int[] sizes = [300, 17];
        using Model model = new(sizes);
        using Model fresh = new(sizes);
        using Optimizer optimizer = Rules.OneOfEach[name](model.Set);
        using Optimizer expected = Rules.OneOfEach[name](fresh.Set);
        nint[] gradients = [.. model.Gradients.Select(static gradient => (nint)System.Runtime.CompilerServices.Unsafe.AsPointer(ref gradient[0]))];
        model.Set.SetGradients([gradients[0], 0]);
        model.Step(optimizer, 1, 7);
        Assert.Equal((7, 0), (optimizer.GetStepCount(0), optimizer.GetStepCount(1)));
        model.Set.SetGradients(gradients);

        // Saved now, the file has both counts; loaded, the same steps follow.
        using MemoryStream file = new();
        optimizer.Save(file, includeParameters: true);
        model.Step(optimizer, 8, 10);
        fresh.Step(expected, 8, 10);
        Assert.Equal(3, optimizer.GetStepCount(1));
        Assert.Equal(Of(expected, 1), Of(optimizer, 1));
        string saved = Snapshot.Of(optimizer);
        file.Position = 0;
        optimizer.Load(file);
        Assert.Equal((7, 0), (optimizer.GetStepCount(0), optimizer.GetStepCount(1)));
        model.Step(optimizer, 8, 10);
        Assert.Equal(saved, Snapshot.Of(optimizer));

        static string Of(Optimizer optimizer, int tensor) => string.Join(
            ' ',
            [
                Snapshot.Bits(optimizer.ParameterSet.GetParameter(tensor)),
                Snapshot.OfState(optimizer.TensorStates()[tensor]),
                .. optimizer.StateRoles.Select(role => Snapshot.Bits(optimizer.GetState(role, tensor))),
            ]);
    }

    [Fact]
    public void The_file_has_what_differs_from_the_group()
    {
        using Model model = new([2, 2], [new() { Name = "a" }, new() { Name = "b" }]);
        using Adam optimizer = new(model.Set);
        nint gradient = (nint)System.Runtime.CompilerServices.Unsafe.AsPointer(ref model.Gradients[0][0]);
        model.Set.SetGradients([gradient, 0]);
        optimizer.Step();
        using MemoryStream file = new();
        optimizer.Save(file);
        file.Position = 0;
        IReadOnlyDictionary<string, string> metadata = SafetensorsHeader.Read(file).Metadata;
        Assert.Equal(("nativeopt-state/2", "1", "0.9", "0.999"), (metadata["format"], metadata["step"], metadata["beta1_product"], metadata["beta2_product"]));
        Assert.Equal(("0", "1", "1"), (metadata["b.step"], metadata["b.beta1_product"], metadata["b.beta2_product"]));
        Assert.DoesNotContain("a.step", metadata.Keys);
    }

    /// <summary>A count that is set alone leads to the products that so many steps would have made.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void A_step_count_is_consistent_alone(string name)
    {
        using Model model = new(3);
        using Model other = new(3);
        using Optimizer optimizer = Rules.OneOfEach[name](model.Set);
        using Optimizer counted = Rules.OneOfEach[name](other.Set);
        model.Step(optimizer, 1, 9);
        counted.StepCount = 9;
        Assert.Equal(Snapshot.OfState(optimizer.TensorStates()[0]), Snapshot.OfState(counted.TensorStates()[0]));
        foreach (RunningScalar scalar in optimizer.Rule.RunningScalars)
        {
            Assert.Equal(optimizer.Groups[0].GetRunningScalar(scalar.Name), counted.Groups[0].GetRunningScalar(scalar.Name));
        }

        counted.StepCount = 0;
        Assert.Equal(Snapshot.OfState(counted.Rule.InitialState), Snapshot.OfState(counted.TensorStates()[0]));
    }

    /// <summary>Also where bias corrections are powers, which depend on the last step alone; other products do not.</summary>
    [Theory]
    [MemberData(nameof(RuleNames))]
    public void A_step_count_is_consistent_with_powers(string name)
    {
        Rule rule = Rule.Get(name);
        RuleOptions options = new(name) { Flags = [.. rule.Flags.Select(static flag => flag.Name).Where(IsWanted)] };
        using Model model = new(3);
        using Model other = new(3);
        using RuleOptimizer optimizer = new(model.Set, options);
        using RuleOptimizer counted = new(other.Set, options);
        model.Step(optimizer, 1, 9);
        counted.StepCount = 9;
        Assert.Equal(Snapshot.OfState(optimizer.TensorStates()[0]), Snapshot.OfState(counted.TensorStates()[0]));

        bool IsWanted(string flag) =>
            flag == "bias_correction_by_power" || rule.DefaultFlags.Any(own => own.Name == flag);
    }

    [Fact]
    public void Impossible_counts_and_products_are_refused()
    {
        using Model model = new(3);
        using Adam optimizer = new(model.Set);
        OptimizerGroup group = optimizer.Groups[0];
        Snapshot.Unchanged<ArgumentException>(optimizer, () => optimizer.Beta1Product = 0.5); // before the first step
        optimizer.StepCount = 5;
        Snapshot.Unchanged<ArgumentException>(optimizer, () => optimizer.Beta1Product = 1);
        Snapshot.Unchanged<ArgumentException>(optimizer, () => group.SetRunningScalar("beta2_product", double.NaN));
        Snapshot.Unchanged<ArgumentException>(optimizer, () => group.SetRunningScalar("beta3_product", 0.5));
        Assert.Throws<ArgumentException>(() => group.GetRunningScalar("beta3_product"));
        group.SetRunningScalar("beta2_product", 0.25);
        Assert.Equal((0.25, 0.25), (optimizer.Beta2Product, group.GetRunningScalar("beta2_product")));

        // A double holds every count up to 2^53.
        Snapshot.Unchanged<ArgumentOutOfRangeException>(optimizer, () => optimizer.StepCount = (1L << 53) + 1);
        Snapshot.Unchanged<ArgumentOutOfRangeException>(optimizer, () => optimizer.StepCount = long.MaxValue);
        optimizer.StepCount = 1L << 53;
        Assert.Equal(1L << 53, optimizer.StepCount);

        using Model plain = new(3);
        using Sgd sgd = new(plain.Set);
        Assert.Equal((1.0, 1.0), (sgd.Beta1Product, sgd.Beta2Product));
        sgd.Beta1Product = 1;
        Snapshot.Unchanged<ArgumentException>(sgd, () => sgd.Beta1Product = 0.5);
    }

    private static (Model, Adam) Resume(Model model, Adam optimizer, bool byFile)
    {
        Model next = new([4, 4, 4], InGroups);
        Adam resumed = new(next.Set, [new(), new()]);
        for (int tensor = 0; tensor < 3; tensor++)
        {
            model.Parameters[tensor].CopyTo(next.Parameters[tensor], 0);
            model.Gradients[tensor].CopyTo(next.Gradients[tensor], 0);
        }

        if (byFile)
        {
            using MemoryStream file = new();
            optimizer.Save(file);
            file.Position = 0;
            resumed.Load(file);
        }
        else
        {
            resumed.TakeOver(optimizer);
        }

        optimizer.Dispose();
        model.Dispose();
        return (next, resumed);
    }
}
