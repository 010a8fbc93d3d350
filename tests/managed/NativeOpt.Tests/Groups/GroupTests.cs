using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Groups;

/// <summary>Groups of hyperparameters in one step, against an optimizer for each.</summary>
public class GroupTests
{
    private static readonly TensorOptions[] TwoGroups = [new() { Name = "body" }, new() { Name = "head", Group = 1 }];

    public static TheoryData<string> Names => GroupedModel.Names;

    [Theory]
    [MemberData(nameof(Names))]
    public void Are_as_many_optimizers_in_one_step(string name)
    {
        foreach (bool capturable in new[] { false, true })
        {
            using GroupedModel model = GroupedModel.Of(name);
            model.Optimizer.SetCapturable(capturable);
            for (int step = 1; step <= 6; step++)
            {
                // Each has its own schedule.
                model.Optimizer.Groups[1].SetLearningRate(0.03 / step);
                model.Optimizers[1].LearningRate = 0.03 / step;
                model.Optimizer.Groups[2].WeightDecay = 0.01 * step;
                model.Optimizers[2].WeightDecay = 0.01 * step;
                model.Step(step, step);
                model.RequireSame();
            }
        }
    }

    [Fact]
    public void Everything_that_may_change_does_so_for_its_group()
    {
        using (GroupedModel model = GroupedModel.Of(nameof(DualAdam)))
        {
            DualAdam grouped = (DualAdam)model.Optimizer;
            DualAdam alone = (DualAdam)model.Optimizers[1];
            model.Step(1, 2);
            DualAdamGroup group = grouped.Groups[1];
            (group.Beta1, group.Beta2, group.Epsilon, group.SwitchingRate) = (0.3, 0.6, 0.1, 0.2);
            (alone.Beta1, alone.Beta2, alone.Epsilon, alone.SwitchingRate) = (0.3, 0.6, 0.1, 0.2);
            (group.StepCount, group.Beta1Product, group.Beta2Product) = (9, 0.25, 0.5);
            (alone.StepCount, alone.Beta1Product, alone.Beta2Product) = (9, 0.25, 0.5);
            model.Step(3, 4);
            model.RequireSame();
            Assert.Equal((4, 11), (grouped.StepCount, group.StepCount));
            Assert.Equal(0.3, group.Beta1);
            Assert.Equal((0.9, 0.09), (grouped.Beta1, grouped.SwitchingRate));
        }

        using (GroupedModel model = GroupedModel.Of(nameof(Sgd)))
        {
            ((Sgd)model.Optimizer).Groups[1].Momentum = 0.25;
            ((Sgd)model.Optimizers[1]).Momentum = 0.25;
            model.Step(1, 3);
            model.RequireSame();
            Assert.Equal(0.9, ((Sgd)model.Optimizer).Momentum);
        }
    }

    [Fact]
    public void The_optimizers_own_properties_are_those_of_group_0()
    {
        using Model model = new([2, 3], TwoGroups);
        using DualAdam optimizer = new(model.Set, [new() { SwitchingRate = 0.5 }, new()]);
        DualAdamGroup group = optimizer.Groups[0];
        (optimizer.LearningRate, optimizer.WeightDecay, optimizer.StepCount) = (0.1, 0.2, 3);
        (optimizer.Beta1Product, optimizer.Beta2Product) = (0.4, 0.6);
        (optimizer.Beta1, optimizer.Beta2, optimizer.Epsilon, optimizer.SwitchingRate) = (0.7, 0.8, 0.3, 0.9);
        Assert.Equal(
            (0.1, 0.2, 3L, 0.4, 0.6),
            (group.LearningRate, group.WeightDecay, group.StepCount, group.Beta1Product, group.Beta2Product));
        Assert.Equal((0.7, 0.8, 0.3, 0.9), (group.Beta1, group.Beta2, group.Epsilon, group.SwitchingRate));
        OptimizerGroup other = ((Optimizer)optimizer).Groups[1];
        Assert.Equal(
            (1e-3, 0.0, 0L, 1.0, 1.0, 1),
            (other.LearningRate, other.WeightDecay, other.StepCount, other.Beta1Product, other.Beta2Product, other.Index));
        Assert.Equal((0, 1), (model.Set.GetGroup(0), model.Set.GetGroup(1)));
        Assert.Equal("tensor", Assert.Throws<ArgumentOutOfRangeException>(() => model.Set.GetGroup(2)).ParamName);
    }

    [Fact]
    public void There_are_up_to_16()
    {
        TensorOptions[] tensors = [.. Enumerable.Range(0, 16).Select(static group => new TensorOptions { Group = group })];
        using Model model = new([.. tensors.Select(static _ => 3)], tensors);
        float[][] before = [.. model.Parameters.Select(static values => values.ToArray())];
        using Sgd optimizer = new(
            model.Set, [.. tensors.Select(static tensor => new SgdOptions { LearningRate = tensor.Group * 0.5 })]);
        optimizer.Step();
        for (int tensor = 0; tensor < 16; tensor++)
        {
            Assert.Equal(
                before[tensor].Zip(model.Gradients[tensor], (value, gradient) => value - ((float)(tensor * 0.5) * gradient)),
                model.Parameters[tensor]);
        }
    }

    [Fact]
    public void What_all_groups_share_must_be_the_same()
    {
        Refuses("StateType is BFloat16, but options[0].StateType is Float32", new AdamOptions(), new AdamOptions { StateType = DType.BFloat16 });
        Refuses(
            "MinDynamic8ElementCount is 0, but options[0].MinDynamic8ElementCount is 4096",
            new AdamOptions { StateType = DType.Dynamic8 },
            new AdamOptions { StateType = DType.Dynamic8, MinDynamic8ElementCount = 0 });
        Refuses("Amsgrad is True, but options[0].Amsgrad is False", new AdamOptions(), new AdamOptions { Amsgrad = true });
        Refuses("Amsgrad is False", new DualAdamOptions { Amsgrad = true }, new DualAdamOptions());
        Refuses("MasterWeights is Float32", new AdamWOptions(), new AdamWOptions { MasterWeights = MasterWeights.Float32 });
        Refuses("StochasticRounding is True", new SgdOptions(), new SgdOptions { StochasticRounding = true });
        Refuses("StochasticRoundingStates is True", new AdamOptions(), new AdamOptions { StochasticRoundingStates = true });
        Refuses(
            "RoundingSeed is 3, but options[0].RoundingSeed is 2",
            new InvAdamOptions { StochasticRounding = true, RoundingSeed = 2 },
            new InvAdamOptions { StochasticRounding = true, RoundingSeed = 3 });
        Refuses("Momentum is 0, but options[0].Momentum is 0.5", new SgdOptions { Momentum = 0.5 }, new SgdOptions());
        Refuses("Momentum is 0.5, but options[0].Momentum is 0", new SgdOptions(), new SgdOptions { Momentum = 0.5 });

        static void Refuses(string message, params OptimizerOptions[] options)
        {
            using Model model = new([2, 3], TwoGroups);
            ArgumentException error = Assert.Throws<ArgumentException>(() => GroupedModel.Create(model.Set, options));
            Assert.Equal("options", error.ParamName);
            Assert.Contains("options[1]." + message, error.Message, StringComparison.Ordinal);
            Assert.Contains("optimizer of its own for the tensors of group 1", error.Message, StringComparison.Ordinal);
            using Adam next = new(model.Set, [new(), new()]); // the set is free still
        }
    }

    [Fact]
    public void There_may_be_any_number_of_them()
    {
        const int Count = 100;
        float[][] parameters = [.. Enumerable.Range(0, Count).Select(static _ => (float[])[1])];
        float[][] gradients = [.. Enumerable.Range(0, Count).Select(static _ => (float[])[1])];
        TensorOptions[] tensors = [.. Enumerable.Range(0, Count).Select(static group => new TensorOptions { Group = group })];
        using ParameterSet set = ParameterSet.FromArrays(parameters, gradients, tensors);
        using Sgd optimizer = new(
            set, [.. Enumerable.Range(0, Count).Select(static group => new SgdOptions { LearningRate = 0.001 * group })]);
        optimizer.Step();
        Assert.Equal(
            Enumerable.Range(0, Count).Select(static group => 1 - (float)(0.001 * group)),
            parameters.Select(static values => values[0]));
        Assert.Equal(Count, optimizer.Groups.Count);
        Assert.All(optimizer.Groups, static group => Assert.Equal(1, group.StepCount));
    }

    [Fact]
    public void Options_that_do_not_fit_are_refused()
    {
        using Model model = new([2, 3], TwoGroups);
        Refuses<ArgumentException>("options has no entries; it must have one for each group", () => new Adam(model.Set, []));
        Refuses<ArgumentException>("options[1] is null", () => new Adam(model.Set, [new(), null!]));
        Refuses<ArgumentException>("Tensor 1 (\"head\") is in group 1, which has no options", () => new Adam(model.Set));
        Refuses<ArgumentException>("there are those of group 0.", () => new Adam(model.Set, [new()]));
        Refuses<ArgumentOutOfRangeException>(
            "options[1].Beta2 is 1;", () => new AdamW(model.Set, [new(), new() { Beta2 = 1 }]));
        Refuses<ArgumentOutOfRangeException>(
            "options[0].LearningRate is -1;", () => new Sgd(model.Set, [new() { LearningRate = -1 }, new()]));
        Refuses<ArgumentException>(
            "options[1].Nesterov needs", () => new Sgd(model.Set, [new(), new() { Nesterov = true }]));
        Assert.Equal(
            "options",
            Assert.Throws<ArgumentNullException>(() => new Adam(model.Set, (IReadOnlyList<AdamOptions>)null!)).ParamName);
        Refuses<ArgumentOutOfRangeException>(
            "options[1].Group is -1; it must be 0 or more", () => new Model([1, 1], [new(), new() { Group = -1 }]));

        // More groups than there are tensors of are no error: these count alike.
        using InvAdam optimizer = new(model.Set, [new(), new(), new()]);
        optimizer.Step();
        Assert.Equal(1, optimizer.Groups[2].StepCount);

        static void Refuses<TException>(string message, Func<object> create)
            where TException : ArgumentException
        {
            TException error = Assert.Throws<TException>(create);
            Assert.Equal("options", error.ParamName);
            Assert.Contains(message, error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Setters_refuse_what_constructors_refuse()
    {
        using Model model = new([2, 3], TwoGroups);
        using DualAdam optimizer = new(model.Set, [new(), new()]);
        DualAdamGroup group = optimizer.Groups[1];
        foreach (double value in new[] { double.NaN, -1, double.PositiveInfinity, 1e39 })
        {
            Refuses(() => group.LearningRate = value);
            Refuses(() => group.SetLearningRate(value));
            Refuses(() => group.WeightDecay = value);
            Refuses(() => group.Epsilon = value);
            Refuses(() => group.SwitchingRate = value);
            Refuses(() => group.Beta1 = value);
            Refuses(() => group.Beta2 = value);
            Refuses(() => group.Beta1Product = value);
            Refuses(() => group.Beta2Product = value);
        }

        Refuses(() => group.StepCount = -1);
        Assert.Equal((0.9, 0.999, 1e-8, 8e-5), (group.Beta1, group.Beta2, group.Epsilon, group.SwitchingRate));
        optimizer.SetCapturable(true);
        Assert.Contains(
            nameof(OptimizerGroup.SetLearningRate),
            Assert.Throws<InvalidOperationException>(() => group.LearningRate = 0.1).Message,
            StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => group.SetLearningRate(0.1, DeviceStream.FromPointer(64)));
        Assert.Equal(1e-3, group.LearningRate);

        void Refuses(Action action) => Snapshot.Unchanged<ArgumentOutOfRangeException>(optimizer, action);
    }

    [Fact]
    public void Momentum_comes_and_goes_in_all_groups_or_none()
    {
        using Model model = new([2, 3], TwoGroups);
        using (Sgd optimizer = new(model.Set, [new() { Momentum = 0.5 }, new() { Momentum = 0.9 }]))
        {
            Assert.Contains(
                "Momentum of group 1 alone cannot change so: the state momentum_buffer depends on it",
                Snapshot.Unchanged<ArgumentException>(optimizer, () => optimizer.Groups[1].Momentum = 0).Message,
                StringComparison.Ordinal);
            Snapshot.Unchanged<ArgumentException>(optimizer, () => optimizer.Momentum = 0);
            Snapshot.Unchanged<ArgumentOutOfRangeException>(optimizer, () => optimizer.Momentum = double.NaN);
            optimizer.Momentum = 0.1;
            Assert.Equal((0.1, 0.9), (optimizer.Momentum, optimizer.Groups[1].Momentum));
        }

        using (Sgd optimizer = new(model.Set, [new(), new()]))
        {
            Snapshot.Unchanged<ArgumentException>(optimizer, () => optimizer.Groups[1].Momentum = 0.5);
            optimizer.Step();
        }
    }

    /// <summary>The norm is that of all groups together, and a step that is skipped counts in none.</summary>
    [Fact]
    public void Clipping_and_skipping_are_for_all_groups_together()
    {
        TensorOptions[] tensors = [.. GroupedModel.GroupOf.Select(static group => new TensorOptions { Group = group })];
        using Model grouped = new(GroupedModel.Sizes, tensors);
        using Model plain = new(GroupedModel.Sizes);
        using AdamW together = new(grouped.Set, [new(), new(), new()]);
        using AdamW alone = new(plain.Set);
        together.GradientOptions = alone.GradientOptions = new GradientOptions { MaxNorm = 0.5 };
        GradScaler scaler = new(initialScale: 4);
        GradScaler other = new(initialScale: 4);
        for (int step = 1; step <= 4; step++)
        {
            foreach ((Model model, AdamW optimizer, GradScaler scale) in new[] { (grouped, together, scaler), (plain, alone, other) })
            {
                model.SetGradients(step);
                model.Gradients[4][7] = step == 2 ? float.PositiveInfinity : 0.5f;
                scale.Step(optimizer);
                scale.Update();
            }

            Assert.Equal(alone.GetGradientStatus(), together.GetGradientStatus());
            Assert.Equal(step == 2, together.GetGradientStatus().Skipped);
        }

        Assert.Equal(2, scaler.Scale);
        Assert.Equal(plain.ParameterBytes(), grouped.ParameterBytes());
        Assert.All(together.Groups, static group => Assert.Equal(3, group.StepCount));
    }

    /// <summary>With a direction for each tensor a dimer around groups is as many dimers around as many optimizers.</summary>
    [Theory]
    [InlineData(RotationAngle.FixedRate)]
    [InlineData(RotationAngle.Optimal)]
    [InlineData(RotationAngle.Conjugate)]
    public void Dimers_go_around_all_groups(RotationAngle angle)
    {
        using GroupedModel model = GroupedModel.Of(
            [new AdamOptions(), new AdamOptions { LearningRate = 0.03 }, new AdamOptions { Beta1 = 0.5, WeightDecay = 0.1 }]);
        DimerOptions options =
            new() { Scope = DimerScope.PerTensor, Interval = 2, Angle = angle, Displacement = 0.1, RotationRate = 0.05 };
        using DimerOptimizer dimer = new(model.Optimizer, options);
        DimerOptimizer[] dimers = [.. model.Optimizers.Select(alone => new DimerOptimizer(alone, options))];
        float[][] directions = DimerSnapshot.Directions(dimer);
        for (int group = 0; group < dimers.Length; group++)
        {
            float[][] own = [.. GroupedModel.Members(group).Select(tensor => directions[tensor])];
            dimers[group].SetDirection(own);
        }

        dimer.SetDirection(directions);
        int evaluation = 0;
        for (int step = 0; step < 5; step++)
        {
            model.SetGradients(++evaluation);
            while (dimer.NeedsDisplacedGradient)
            {
                dimer.Displace();
                Array.ForEach(dimers, static alone => alone.Displace());
                model.SetGradients(++evaluation);
            }

            dimer.Step();
            Array.ForEach(dimers, static alone => alone.Step());
            model.RequireSame();
        }

        Assert.Equal(dimers[1].GetStatus(0), dimer.GetStatus(GroupedModel.Members(1)[0]));
        Array.ForEach(dimers, static alone => alone.Dispose());
    }

    [Fact]
    public void A_dimer_follows_one_loss()
    {
        using Model model = new([2, 3], TwoGroups);
        using Adam optimizer = new(model.Set, [new(), new() { Maximize = true }]);
        ArgumentException error = Assert.Throws<ArgumentException>(() => new DimerOptimizer(optimizer));
        Assert.Equal("optimizer", error.ParamName);
        Assert.Contains("Maximize is True in group 1", error.Message, StringComparison.Ordinal);
        optimizer.Step();
    }

    [Fact]
    public void Master_weights_are_of_all_groups()
    {
        AdamOptions[] options = [new() { MasterWeights = MasterWeights.Remainder }, new() { MasterWeights = MasterWeights.Remainder, LearningRate = 0.1 }];
        MixedTensor[] tensors = [new(30, DType.BFloat16, DType.Float32), new(7, DType.BFloat16, DType.BFloat16)];
        using MixedModel model = new(tensors);
        using ParameterSet set = new(
            model.Parameters, [new() { GradientType = DType.Float32 }, new() { Group = 1 }]);
        set.SetGradients(model.Gradients);
        using Adam optimizer = new(set, options);
        using MixedModel other = new(tensors);
        using ParameterSet first = new([other.Parameters[0]], [new() { GradientType = DType.Float32 }]);
        using ParameterSet second = new([other.Parameters[1]]);
        first.SetGradients([other.Gradients[0]]);
        second.SetGradients([other.Gradients[1]]);
        using Adam firstAlone = new(first, options[0]);
        using Adam secondAlone = new(second, options[1]);
        for (int step = 1; step <= 3; step++)
        {
            model.SetGradients(step);
            other.SetGradients(step);
            optimizer.Step();
            firstAlone.Step();
            secondAlone.Step();
        }

        GroupedModel.RequireSame(optimizer, 0, [0], firstAlone);
        GroupedModel.RequireSame(optimizer, 1, [1], secondAlone);
    }

    [Fact]
    public void Groups_of_a_disposed_optimizer_or_set_are_refused()
    {
        using Model model = new([2, 3], TwoGroups);
        Sgd optimizer = new(model.Set, [new() { Momentum = 0.5 }, new() { Momentum = 0.5 }]);
        optimizer.Dispose();
        RefusesAll(optimizer.Groups[1]);
        Sgd second = new(model.Set, [new() { Momentum = 0.5 }, new() { Momentum = 0.5 }]);
        model.Set.Dispose();
        RefusesAll(second.Groups[1]);
        second.Dispose();

        static void RefusesAll(SgdGroup group)
        {
            Assert.Throws<ObjectDisposedException>(() => group.LearningRate = 0.1);
            Assert.Throws<ObjectDisposedException>(() => group.SetLearningRate(0.1));
            Assert.Throws<ObjectDisposedException>(() => group.WeightDecay = 0.1);
            Assert.Throws<ObjectDisposedException>(() => group.Momentum = 0.1);
            Assert.Throws<ObjectDisposedException>(() => group.StepCount);
            Assert.Throws<ObjectDisposedException>(() => group.StepCount = 3);
            Assert.Throws<ObjectDisposedException>(() => group.Beta1Product);
            Assert.Throws<ObjectDisposedException>(() => group.Beta2Product = 0.5);
            Assert.Equal((1e-3, 0.5), (group.LearningRate, group.Momentum));
        }
    }
}
