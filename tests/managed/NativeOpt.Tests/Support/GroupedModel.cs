using Xunit;

namespace NativeOpt.Tests.Support;

/// <summary>
/// A model whose tensors are in groups of hyperparameters, and beside it a model and an optimizer for each group alone: what
/// groups must equal, bit for bit.
/// </summary>
internal sealed class GroupedModel : IDisposable
{
    /// <summary>Every group has several tensors, not one after another, and one of them is empty.</summary>
    public static readonly int[] Sizes = [5, 0, 300, 17, 1025, 1, 4097, 64, 33_000];

    public static readonly int[] GroupOf = [2, 0, 1, 0, 2, 1, 0, 1, 2];

    /// <summary>Of each optimizer the options of three groups, which differ in all that may differ.</summary>
    public static readonly IReadOnlyDictionary<string, OptimizerOptions[]> Options = WithOthers(new Dictionary<string, OptimizerOptions[]>
    {
        [nameof(Adam)] =
        [
            new AdamOptions { Amsgrad = true, WeightDecay = 0.01 },
            new AdamOptions { Amsgrad = true, WeightDecay = 0.2, LearningRate = 0.03, DecoupledWeightDecay = true, Maximize = true },
            new AdamOptions { Amsgrad = true, Beta1 = 0.5, Beta2 = 0.75, Epsilon = 0.02 },
        ],
        [nameof(AdamW)] =
        [
            new AdamWOptions(), new AdamWOptions { LearningRate = 0.03, Maximize = true },
            new AdamWOptions { Beta1 = 0.5, Beta2 = 0.75, Epsilon = 0.02, WeightDecay = 0.2 },
        ],
        [nameof(InvAdam)] =
        [
            new InvAdamOptions(), new InvAdamOptions { LearningRate = 0.03, InverseEpsilon = true, Epsilon = 0.02, Maximize = true },
            new InvAdamOptions { Beta1 = 0.5, Beta2 = 0.75, WeightDecay = 0.2, DecoupledWeightDecay = true },
        ],
        [nameof(DualAdam)] =
        [
            new DualAdamOptions { SwitchingRate = 0.09 },
            new DualAdamOptions { SwitchingRate = 0.3, LearningRate = 0.03, Maximize = true },
            new DualAdamOptions { Beta1 = 0.5, Beta2 = 0.75, InverseEpsilon = true, Epsilon = 0.02, WeightDecay = 0.2, Schedule = InverseWeightSchedule.Exponential },
        ],
        [nameof(Sgd)] =
        [
            new SgdOptions { Momentum = 0.9 },
            new SgdOptions { Momentum = 0.5, Nesterov = true, LearningRate = 0.03, Maximize = true },
            new SgdOptions { Momentum = 0.7, WeightDecay = 0.2, DecoupledWeightDecay = true },
        ],
        [nameof(RAdam)] =
        [
            new RAdamOptions { Beta2 = 0.9 }, new RAdamOptions { LearningRate = 0.03, Maximize = true, Epsilon = 0.02 },
            new RAdamOptions { Beta1 = 0.5, Beta2 = 0.75, WeightDecay = 0.2, DecoupledWeightDecay = true },
        ],
        [nameof(NAdam)] =
        [
            new NAdamOptions(), new NAdamOptions { LearningRate = 0.03, Maximize = true, MomentumDecay = 0.4 },
            new NAdamOptions { Beta1 = 0.5, Beta2 = 0.75, MomentumDecay = 0, WeightDecay = 0.2, DecoupledWeightDecay = true },
        ],
        [nameof(Adagrad)] =
        [
            new AdagradOptions(), new AdagradOptions { InitialAccumulatorValue = 0.25, LearningRate = 0.03, Maximize = true },
            new AdagradOptions { LearningRateDecay = 0.1, InitialAccumulatorValue = 0.5, WeightDecay = 0.2 },
        ],
        [nameof(RmsProp)] =
        [
            new RmsPropOptions { Centered = true, Momentum = 0.9 },
            new RmsPropOptions { Centered = true, Momentum = 0.5, LearningRate = 0.03, Maximize = true },
            new RmsPropOptions { Centered = true, Momentum = 0.7, Alpha = 0.75, Epsilon = 0.02, WeightDecay = 0.2 },
        ],
        [nameof(Rprop)] =
        [
            new RpropOptions(), new RpropOptions { LearningRate = 0.03, Maximize = true, StepSizeMax = 0.04 },
            new RpropOptions { EtaMinus = 0.25, EtaPlus = 1.5, StepSizeMin = 8e-3, WeightDecay = 0.2 },
        ],
        [nameof(Asgd)] =
        [
            new AsgdOptions(), new AsgdOptions { LearningRate = 0.03, Maximize = true, T0 = 1 },
            new AsgdOptions { Lambd = 0.1, Alpha = 0.5, T0 = 2, WeightDecay = 0.2 },
        ],
        [nameof(MiAdam)] =
        [
            new MiAdamOptions { Order = 3 }, new MiAdamOptions { Order = 3, LearningRate = 0.03, Maximize = true, SwitchStep = 4 },
            new MiAdamOptions { Order = 3, LearningRate = 0.1, Kappa = 0.5, SwitchStep = 100, WeightDecay = 0.2 },
        ],
        [nameof(AdEmaMix)] =
        [
            new AdEmaMixOptions(), new AdEmaMixOptions { LearningRate = 0.03, Maximize = true, TAlphaBeta3 = 4 },
            new AdEmaMixOptions { Beta1 = 0.5, Beta2 = 0.75, Beta3 = 0.95, Alpha = 2, WeightDecay = 0.2, DecoupledWeightDecay = false },
        ],
    });

    private GroupedModel(Model model, Optimizer optimizer, Model[] models, Optimizer[] optimizers)
    {
        (Model, Optimizer, Models, Optimizers) = (model, optimizer, models, optimizers);
    }

    public static TheoryData<string> Names => [.. Options.Keys];

    public Model Model { get; }

    public Optimizer Optimizer { get; }

    /// <summary>Those of each group alone.</summary>
    public Model[] Models { get; }

    public Optimizer[] Optimizers { get; }

    public static GroupedModel Of(string name) => Of(Options[name]);

    public static GroupedModel Of(OptimizerOptions[] options)
    {
        // Options of the tensors are within the groups.
        TensorOptions[] tensors =
        [
            .. GroupOf.Select((group, tensor) => new TensorOptions
            {
                Group = group,
                LearningRateScale = tensor == 2 ? 0.5 : 1,
                WeightDecay = tensor == 8 ? 0.125 : null,
            }),
        ];
        Model model = new(Sizes, tensors);
        Model[] models =
        [
            .. options.Select((_, group) => new Model(
                [.. Members(group).Select(tensor => Sizes[tensor])],
                [.. Members(group).Select(tensor => tensors[tensor] with { Group = 0 })])),
        ];
        GroupedModel grouped = new(
            model, Create(model.Set, options), models, [.. options.Zip(models, (own, one) => Rules.Create(one.Set, own))]);
        grouped.Copy(model.Parameters, static one => one.Parameters);
        return grouped;
    }

    /// <summary>The optimizer that options of its groups are for.</summary>
    public static Optimizer Create(ParameterSet set, params OptimizerOptions[] options) =>
        TypedRule.Of(options[0]).Create(set, options);

    /// <summary>The tensors of a group.</summary>
    public static int[] Members(int group) => [.. Enumerable.Range(0, Sizes.Length).Where(tensor => GroupOf[tensor] == group)];

    /// <summary>Takes steps on the same gradients, there and here.</summary>
    public void Step(int first, int last)
    {
        for (int step = first; step <= last; step++)
        {
            SetGradients(step);
            Optimizer.Step();
            Array.ForEach(Optimizers, static alone => alone.Step());
        }
    }

    public void SetGradients(int step)
    {
        Model.SetGradients(step);
        Copy(Model.Gradients, static one => one.Gradients);
    }

    /// <summary>Asserts that parameters, states, counts and products are the same.</summary>
    public void RequireSame()
    {
        for (int group = 0; group < Models.Length; group++)
        {
            RequireSame(Optimizer, group, Members(group), Optimizers[group]);
        }
    }

    /// <summary>Asserts that a group's tensors are those of an optimizer, in its order.</summary>
    public static void RequireSame(Optimizer optimizer, int group, int[] tensors, Optimizer alone)
    {
        Assert.Equal(
            (alone.StepCount, alone.Beta1Product, alone.Beta2Product),
            (optimizer.Groups[group].StepCount, optimizer.Groups[group].Beta1Product, optimizer.Groups[group].Beta2Product));
        Assert.Equal(alone.ParameterSet.Count, tensors.Length);
        Assert.Equal(alone.StateRoles, optimizer.StateRoles);
        for (int i = 0; i < tensors.Length; i++)
        {
            Assert.Equal(
                Snapshot.Bits(alone.ParameterSet.GetParameter(i)), Snapshot.Bits(optimizer.ParameterSet.GetParameter(tensors[i])));
            foreach (StateRole role in alone.StateRoles)
            {
                Assert.Equal(Snapshot.Bits(alone.GetState(role, i)), Snapshot.Bits(optimizer.GetState(role, tensors[i])));
            }
        }
    }

    public void Dispose()
    {
        Optimizer.Dispose();
        Model.Dispose();
        Array.ForEach(Optimizers, static alone => alone.Dispose());
        Array.ForEach(Models, static one => one.Dispose());
    }

    /// <summary>Adds the optimizers that are not named, with three groups that differ.</summary>
    private static Dictionary<string, OptimizerOptions[]> WithOthers(Dictionary<string, OptimizerOptions[]> named)
    {
        foreach (TypedRule typed in TypedRule.All)
        {
            OptimizerOptions options = typed.WithAllStates();
            bool canMaximize = options.Rule.Flags.Any(static flag => flag.Name == "maximize");
            named.TryAdd(
                typed.Name,
                [options, options with { LearningRate = 0.03, Maximize = canMaximize }, options with { WeightDecay = 0.2 }]);
        }

        return named;
    }

    private void Copy(float[][] from, Func<Model, float[][]> to)
    {
        for (int group = 0; group < Models.Length; group++)
        {
            int[] tensors = Members(group);
            for (int i = 0; i < tensors.Length; i++)
            {
                from[tensors[i]].CopyTo(to(Models[group])[i], 0);
            }
        }
    }
}
