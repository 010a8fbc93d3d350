using NativeOpt.Interop;
using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Dimer;

/// <summary>Dimers around every optimizer against the papers' equations in double.</summary>
public class AlgorithmTests
{
    private const int Steps = 30;

    // On CPU a scope's sums go over several tensors, one of them empty.
    private static readonly int[] Sizes = [7, 0, 5, 1, 9];
    private static readonly int Count = Sizes.Sum();

    private static readonly double[] Eigenvalues = Quadratic.Spread(Count, -0.3, 0.5);

    // All settings differ from the defaults, and change the result visibly: see Every_option_matters.
    private static readonly DimerOptions Options = new()
    {
        Interval = 4,
        RotationsPerUpdate = 2,
        Displacement = 0.5,
        RotationRate = 0.4,
        Alpha = 1.5,
    };

    private static readonly string[] RuleNames =
    [
        "Adam None maximize=False amsgrad=False",
        "Adam L2 maximize=True amsgrad=False",
        "AdamW maximize=False amsgrad=True",
        "InvAdam None maximize=False amsgrad=False inverseEpsilon=False",
        "DualAdam Decoupled maximize=False amsgrad=False inverseEpsilon=False",
        "Sgd L2 maximize=False momentum=True nesterov=False",
        "Sgd None maximize=True momentum=True nesterov=True",
    ];

    public static TheoryData<string, DimerScope, DimerCorrection> Cases
    {
        get
        {
            TheoryData<string, DimerScope, DimerCorrection> cases = [];
            foreach (string rule in RuleNames)
            {
                foreach (DimerScope scope in Enum.GetValues<DimerScope>())
                {
                    foreach (DimerCorrection correction in Enum.GetValues<DimerCorrection>())
                    {
                        cases.Add(rule, scope, correction);
                    }
                }
            }

            return cases;
        }
    }

    public static TheoryData<string> OptimizerNames => Rules.OptimizerNames;

    /// <summary>With both senses of rotation and both forces each.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void Equals_the_papers_equations(string rule, DimerScope scope, DimerCorrection correction)
    {
        foreach (DimerRotation rotation in Enum.GetValues<DimerRotation>())
        {
            foreach (DimerForce force in Enum.GetValues<DimerForce>())
            {
                AssertEqual(
                    rule, Options with { Scope = scope, Correction = correction, Rotation = rotation, Force = force });
            }
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Optimal_angles_equal_the_literature(string rule, DimerScope scope, DimerCorrection correction)
    {
        foreach ((DimerRotation rotation, RotationAngle angle) in
            from rotation in Enum.GetValues<DimerRotation>()
            from angle in new[] { RotationAngle.Optimal, RotationAngle.Conjugate }
            select (rotation, angle))
        {
            AssertEqual(
                rule,
                Options with
                {
                    Scope = scope,
                    Correction = correction,
                    Rotation = rotation,
                    Angle = angle,

                    // Of the second one, the library extrapolates a gradient; for coupled tensors that each turn by their
                    // own angle that is no longer exact.
                    RotationsPerUpdate = scope == DimerScope.Global ? 2 : 1,
                });
        }
    }

    [Theory]
    [InlineData(RotationAngle.Optimal)]
    [InlineData(RotationAngle.Conjugate)]
    public void Optimal_angles_of_tensors_that_are_not_coupled_may_turn_several_times(RotationAngle angle) => AssertEqual(
        RuleNames[0],
        Options with { Scope = DimerScope.PerTensor, Angle = angle, RotationsPerUpdate = 3 },
        couplesTensors: false);

    /// <summary>As published, but for an interval and a displacement at which a few steps say something.</summary>
    [Theory]
    [InlineData(DimerScope.Global)]
    [InlineData(DimerScope.PerTensor)]
    public void The_defaults_are_the_papers(DimerScope scope) => AssertEqual(
        RuleNames[0], new DimerOptions { Scope = scope, Interval = 5, Displacement = 0.5 });

    [Fact]
    public unsafe void Defaults_are_the_native_ones_and_the_papers()
    {
        nopt_dimer_options native = new() { struct_size = (uint)sizeof(nopt_dimer_options) };
        Assert.Equal(nopt_status.NOPT_OK, NativeMethods.nopt_dimer_get_defaults(&native));
        DimerOptions options = new();
        Assert.Equal(native, options.ToNative(10 * new AdamOptions().LearningRate, options.Alpha));
        Assert.Equal((10, 1, null, 0ul), (options.Interval, options.RotationsPerUpdate, options.Displacement, options.Seed));
        Assert.Equal((DimerScope.Global, 1e-3, 5.0), (options.Scope, options.RotationRate, options.Alpha));
    }

    /// <summary>Without this, the tests above might pass with an option ignored.</summary>
    [Fact]
    public void Every_option_matters()
    {
        (string Name, DimerOptions Options)[] variants =
        [
            ("none", Options),
            (nameof(DimerOptions.Scope), Options with { Scope = DimerScope.PerTensor }),
            (nameof(DimerOptions.Interval), Options with { Interval = 3 }),
            (nameof(DimerOptions.RotationsPerUpdate), Options with { RotationsPerUpdate = 1 }),
            (nameof(DimerOptions.Displacement), Options with { Displacement = 0.3 }),
            (nameof(DimerOptions.RotationRate), Options with { RotationRate = 0.3 }),
            (nameof(DimerOptions.Alpha), Options with { Alpha = 1.2 }),
            (nameof(DimerOptions.Force), Options with { Force = DimerForce.PerDisplacement }),
            (nameof(DimerOptions.Rotation), Options with { Rotation = DimerRotation.MaximumCurvature }),
            (nameof(DimerOptions.Angle), Options with { Angle = RotationAngle.Optimal }),
            (nameof(RotationAngle.Conjugate), Options with { Angle = RotationAngle.Conjugate }),
            (nameof(DimerOptions.Correction), Options with { Correction = DimerCorrection.Escape }),
        ];
        foreach (string rule in RuleNames)
        {
            (string Name, double[] Values)[] results = [.. variants.Select(variant => (variant.Name, Run(rule, variant.Options)))];
            for (int a = 0; a < results.Length; a++)
            {
                for (int b = a + 1; b < results.Length; b++)
                {
                    double difference = results[a].Values.Zip(results[b].Values, (x, y) => Math.Abs(x - y)).Max();
                    Assert.True(
                        difference > 20 * Tolerance(1), $"{rule}, {results[a].Name} and {results[b].Name}: {difference}");
                }
            }
        }

        static double[] Run(string rule, DimerOptions options)
        {
            using Model model = new(Sizes);
            using Optimizer optimizer = Rules.Case(rule).Create(model.Set);
            using DimerOptimizer dimer = new(optimizer, options);
            DimerReference reference = MakeReference(rule, model, dimer, new Quadratic(model, Eigenvalues));
            for (int step = 0; step < Steps; step++)
            {
                reference.Step();
            }

            return reference.Parameters;
        }
    }

    [Theory]
    [MemberData(nameof(OptimizerNames))]
    public void Both_ways_to_step_give_the_same_bits(string name)
    {
        foreach (RotationAngle angle in Enum.GetValues<RotationAngle>())
        {
            foreach (DimerScope scope in Enum.GetValues<DimerScope>())
            {
                DimerOptions options = Options with { Angle = angle, Scope = scope, Interval = 3 };
                Assert.Equal(Run(WithClosure), Run(WithCalls));

                string Run(Action<DimerOptimizer, Quadratic> step)
                {
                    using Model model = new(Sizes);
                    using Optimizer optimizer = Rules.OneOfEach[name](model.Set);
                    using DimerOptimizer dimer = new(optimizer, options);
                    Quadratic loss = new(model, Eigenvalues);
                    for (int i = 0; i < 10; i++)
                    {
                        step(dimer, loss);
                    }

                    return DimerSnapshot.Of(dimer) + string.Join(
                        '\n', Enumerable.Range(0, dimer.ScopeCount).Select(dimer.GetStatus));
                }
            }
        }

        static void WithClosure(DimerOptimizer dimer, Quadratic loss) => dimer.Step(loss.Closure);

        static void WithCalls(DimerOptimizer dimer, Quadratic loss)
        {
            loss.Closure();
            while (dimer.NeedsDisplacedGradient)
            {
                dimer.Displace();
                loss.Closure();
            }

            dimer.Step();
        }
    }

    /// <summary>Whatever the direction does: without a correction the steps are the optimizer's own.</summary>
    [Theory]
    [MemberData(nameof(OptimizerNames))]
    public void Without_a_correction_steps_are_the_optimizers(string name)
    {
        TensorOptions[] tensors =
            [.. Sizes.Select((_, i) => new TensorOptions { LearningRateScale = 1 + (i % 3), WeightDecay = i % 2 == 0 ? null : 0.1 })];
        string plain;
        using (Model model = new(Sizes, tensors))
        {
            using Optimizer optimizer = Rules.OneOfEach[name](model.Set);
            Quadratic loss = new(model, Quadratic.Spread(Count, 0.5, 2), couplesTensors: false);
            for (int step = 0; step < 10; step++)
            {
                loss.Closure();
                optimizer.Step();
            }

            plain = Snapshot.Of(optimizer);
        }

        foreach (DimerOptions options in new[]
        {
            Options with { Alpha = 0 },
            Options with { Correction = DimerCorrection.Escape }, // the curvature is positive everywhere
            DimerOptions.Recommended with { Scope = DimerScope.PerTensor },
        })
        {
            using Model model = new(Sizes, tensors);
            using Optimizer optimizer = Rules.OneOfEach[name](model.Set);
            using DimerOptimizer dimer = new(optimizer, options);
            Quadratic loss = new(model, Quadratic.Spread(Count, 0.5, 2), couplesTensors: false);
            for (int step = 0; step < 10; step++)
            {
                dimer.Step(loss.Closure);
            }

            Assert.Equal(plain, Snapshot.Of(optimizer));
        }
    }

    [Fact]
    public void One_tensor_is_its_own_scope()
    {
        HashSet<string> results = [];
        foreach (DimerScope scope in Enum.GetValues<DimerScope>())
        {
            using Model model = new(19);
            using AdamW optimizer = new(model.Set);
            using DimerOptimizer dimer = new(optimizer, Options with { Scope = scope });
            Quadratic loss = new(model, Quadratic.Spread(19, -1, 1));
            for (int step = 0; step < 10; step++)
            {
                dimer.Step(loss.Closure);
            }

            results.Add(
                $"{Snapshot.Of(optimizer)} {dimer.GetStatus()} {Snapshot.Bits(dimer.GetDirection(0))}");
        }

        Assert.Single(results);
    }

    /// <summary>
    /// Once a direction has arrived, or where all curvatures are equal, the force is the noise of rounded gradients. Whatever
    /// becomes of the angle then, the direction must keep its length, on which displacement and correction rely, and the
    /// curvature must be one that the loss has.
    /// </summary>
    /// <remarks>
    /// The tolerances: gradients of the order of 1 are rounded to float, which moves their difference by 2^-24, divided by the
    /// displacement, and sums of 22 elements by a few times that. A length does not depend on it.
    /// </remarks>
    [Theory]
    [InlineData(RotationAngle.FixedRate, 1, 1.0, 1.0, 1.0)]
    [InlineData(RotationAngle.FixedRate, 3, 0.5, 1.0, 1.0)]
    [InlineData(RotationAngle.FixedRate, 3, 1.0, 1.0, 0.01)]
    [InlineData(RotationAngle.Optimal, 1, 1.0, 1.0, 1.0)]
    [InlineData(RotationAngle.Optimal, 2, 1.0, 1.0, 1.0)]
    [InlineData(RotationAngle.Optimal, 1, 1.0, 1.0, 0.01)]
    [InlineData(RotationAngle.Optimal, 3, 1.0, 1.0, 0.01)]
    [InlineData(RotationAngle.Optimal, 1, 0.5, 1.0, 1.0)]
    [InlineData(RotationAngle.Optimal, 3, 0.5, 1.0, 1.0)]
    [InlineData(RotationAngle.Optimal, 3, -0.3, 0.5, 1.0)]
    [InlineData(RotationAngle.Optimal, 3, -0.3, 0.5, 0.01)]
    [InlineData(RotationAngle.Conjugate, 1, 1.0, 1.0, 0.01)]
    [InlineData(RotationAngle.Conjugate, 3, 1.0, 1.0, 1.0)]
    [InlineData(RotationAngle.Conjugate, 1, 0.5, 1.0, 1.0)]
    [InlineData(RotationAngle.Conjugate, 3, 0.5, 1.0, 0.01)]
    [InlineData(RotationAngle.Conjugate, 3, -0.3, 0.5, 0.01)]
    public void Directions_stay_unit_vectors(
        RotationAngle angle, int rotations, double low, double high, double displacement) =>
        AssertUnitVectors(angle, rotations, Quadratic.Spread(Count, low, high), displacement);

    /// <summary>Of two different curvatures, one turn finds the smaller; a second one has noise alone to go by.</summary>
    [Theory]
    [InlineData(1, 1.0)]
    [InlineData(2, 1.0)]
    [InlineData(6, 1.0)]
    [InlineData(6, 0.01)]
    public void Directions_stay_unit_vectors_where_one_turn_is_enough(int rotations, double displacement) =>
        AssertUnitVectors(
            RotationAngle.Optimal, rotations, [.. Enumerable.Range(0, Count).Select(i => i < 16 ? 0.5 : 1)], displacement);

    /// <remarks>The tolerances: as above.</remarks>
    [Theory]
    [InlineData(1, DimerRotation.MinimumCurvature, false)]
    [InlineData(3, DimerRotation.MinimumCurvature, false)]
    [InlineData(1, DimerRotation.MaximumCurvature, false)]
    [InlineData(3, DimerRotation.MaximumCurvature, true)]
    [InlineData(1, DimerRotation.MinimumCurvature, true)]
    public void Optimal_angles_converge_to_the_outermost_eigenvalue(int rotations, DimerRotation rotation, bool maximize)
    {
        const double Tolerance = 3e-6;
        using Model model = new(Sizes);
        using Sgd optimizer = new(model.Set, new SgdOptions { LearningRate = 0, Maximize = maximize });
        using DimerOptimizer dimer = new(
            optimizer,
            new DimerOptions
            {
                Angle = RotationAngle.Optimal,
                Interval = 1,
                RotationsPerUpdate = rotations,
                Rotation = rotation,
                Displacement = 1,
            });
        Quadratic loss = new(model, Eigenvalues);
        double sign = maximize ? -1 : 1; // of the loss that is minimized
        double sense = rotation == DimerRotation.MinimumCurvature ? 1 : -1; // makes it a search for the smallest
        double before = double.PositiveInfinity;
        double first = double.NaN;
        for (int step = 0; step < 60; step++)
        {
            dimer.Step(loss.Closure);
            double curvature = dimer.GetStatus().Curvature;
            double expected = sign * loss.Curvature(Flat(dimer));
            Assert.True(Math.Abs(expected - curvature) < Tolerance, $"step {step}: {curvature}, not {expected}");
            Assert.True(sense * curvature <= before + Tolerance, $"step {step}: {curvature} after {sense * before}");
            before = sense * curvature;
            first = step == 0 ? curvature : first;
        }

        double[] signed = [.. Eigenvalues.Select(value => sign * value)];
        double outermost = sense > 0 ? signed.Min() : signed.Max();
        Assert.True(Math.Abs(first - outermost) > 0.05, "the first direction was there already");
        Assert.Equal(outermost, sense * before, 5e-6);
    }

    /// <summary>Each further rotation of an update is as good as an update of its own, for one gradient less.</summary>
    [Fact]
    public void Rotations_of_one_update_equal_updates_of_one_rotation()
    {
        using Model model = new(Sizes);
        using Model other = new(Sizes);
        using Sgd optimizer = new(model.Set, new SgdOptions { LearningRate = 0 });
        using Sgd otherOptimizer = new(other.Set, new SgdOptions { LearningRate = 0 });
        DimerOptions options = DimerOptions.Recommended with { Interval = 1, Displacement = 1 };
        using DimerOptimizer thrice = new(optimizer, options with { RotationsPerUpdate = 3 });
        using DimerOptimizer once = new(otherOptimizer, options);
        Quadratic loss = new(model, Eigenvalues);
        Quadratic otherLoss = new(other, Eigenvalues);
        thrice.Step(loss.Closure);
        for (int i = 0; i < 3; i++)
        {
            once.Step(otherLoss.Closure);
        }

        Assert.Equal((5, 9), (loss.Evaluations, otherLoss.Evaluations));

        // Gradients are rounded to float, and three rotations use different ones.
        Assert.Equal(once.GetStatus().Curvature, thrice.GetStatus().Curvature, 3e-6);
        Assert.Equal(1, Flat(once).Zip(Flat(thrice), (a, b) => a * b).Sum(), 1e-6);
    }

    /// <summary>Else one bad batch would end the direction, and with it the run.</summary>
    [Theory]
    [InlineData(float.NaN, RotationAngle.FixedRate, DimerScope.Global)]
    [InlineData(float.PositiveInfinity, RotationAngle.FixedRate, DimerScope.PerTensor)]
    [InlineData(float.NaN, RotationAngle.Optimal, DimerScope.PerTensor)]
    [InlineData(float.NegativeInfinity, RotationAngle.Optimal, DimerScope.Global)]
    public void A_displaced_gradient_that_is_not_finite_turns_nothing(float bad, RotationAngle angle, DimerScope scope)
    {
        for (int evaluation = 1; evaluation <= (angle == RotationAngle.FixedRate ? 1 : 2); evaluation++)
        {
            using Model model = new(Sizes);
            using Sgd optimizer = new(model.Set);
            using DimerOptimizer dimer = new(optimizer, Options with { Angle = angle, Scope = scope, RotationsPerUpdate = 1 });
            Quadratic loss = new(model, Eigenvalues);
            using Model plain = new(Sizes);
            using Sgd plainOptimizer = new(plain.Set);
            new Quadratic(plain, Eigenvalues).Closure();
            plainOptimizer.Step();

            float[][] before = DimerSnapshot.Directions(dimer);
            loss.Closure();
            for (int i = 1; dimer.NeedsDisplacedGradient; i++)
            {
                dimer.Displace();
                loss.Closure();
                if (i == evaluation)
                {
                    model.Gradients[0][3] = bad;
                }
            }

            dimer.Step();
            int refused = scope == DimerScope.Global ? Sizes.Length : 1;
            Assert.Equal(before[..refused], DimerSnapshot.Directions(dimer)[..refused]);
            DimerStatus status = dimer.GetStatus();
            Assert.True(status.RotationRefused);
            Assert.Equal((double.NaN, 0.0, 1L), (status.Curvature, status.Angle, status.Step));

            // The scope with the bad gradient was stepped with its own, good one.
            Assert.Equal(plain.Parameters[0], model.Parameters[0]);
            if (scope == DimerScope.PerTensor)
            {
                Assert.False(dimer.GetStatus(4).RotationRefused);
                Assert.NotEqual(plain.Parameters[4], model.Parameters[4]);
            }

            // ... and later updates turn again.
            for (int step = 0; step < Options.Interval; step++)
            {
                dimer.Step(loss.Closure);
            }

            Assert.False(dimer.GetStatus().RotationRefused);
            Assert.NotEqual(before[0], DimerSnapshot.Directions(dimer)[0]);
        }
    }

    [Fact]
    public void A_gradient_that_is_not_finite_is_not_corrected()
    {
        using Model model = new(3, 2);
        using Sgd optimizer = new(model.Set, new SgdOptions { LearningRate = 1 });
        using DimerOptimizer dimer = new(optimizer, Options with { Interval = 2 });
        dimer.Step(new Quadratic(model, Quadratic.Spread(5, 1, 2)).Closure);
        float[][] before = [.. model.Parameters.Select(values => values.ToArray())];
        string direction = Snapshot.Bits(dimer.GetDirection(0));
        model.Gradients[0][1] = float.PositiveInfinity;
        dimer.Step();
        Assert.True(dimer.GetStatus().CorrectionSkipped);
        Assert.False(dimer.GetStatus().RotationRefused);
        Assert.Equal(float.NegativeInfinity, model.Parameters[0][1]);
        Assert.Equal(before[1].Zip(model.Gradients[1], (p, g) => p - g), model.Parameters[1]);
        Assert.Equal(direction, Snapshot.Bits(dimer.GetDirection(0)));
    }

    private static void AssertUnitVectors(RotationAngle angle, int rotations, double[] eigenvalues, double displacement)
    {
        double tolerance = 3e-6 / displacement;
        foreach (ulong seed in new ulong[] { 0, 1 })
        {
            using Model model = new(Sizes);
            using Sgd optimizer = new(model.Set, new SgdOptions { LearningRate = 0 });
            using DimerOptimizer dimer = new(
                optimizer,
                Options with
                {
                    Angle = angle,
                    Interval = 1,
                    RotationsPerUpdate = rotations,
                    Displacement = displacement,
                    Force = DimerForce.PerDisplacement,
                    Seed = seed,
                });
            Quadratic loss = new(model, eigenvalues);
            for (int step = 0; step < 500; step++)
            {
                dimer.Step(loss.Closure);
                double curvature = dimer.GetStatus().Curvature;
                double length = Math.Sqrt(Flat(dimer).Sum(n => n * n));
                Assert.True(Math.Abs(length - 1) < 3e-6, $"step {step}: the direction has the length {length}");
                Assert.True(
                    curvature > eigenvalues.Min() - tolerance && curvature < eigenvalues.Max() + tolerance,
                    $"step {step}: the curvature is {curvature}");
            }
        }
    }

    private static void AssertEqual(string rule, DimerOptions options, bool couplesTensors = true)
    {
        // The best angle is the more sensitive to rounded gradients, the nearer two curvatures are: eigenvalues have a
        // distance of 1/25.
        double tolerances = options.Angle == RotationAngle.FixedRate ? 1 : 25;
        using Model model = new(Sizes);
        using Optimizer optimizer = Rules.Case(rule).Create(model.Set);
        using DimerOptimizer dimer = new(optimizer, options);
        Quadratic loss = new(model, Eigenvalues, couplesTensors);
        DimerReference reference = MakeReference(rule, model, dimer, loss);
        for (int step = 1; step <= Steps; step++)
        {
            string what = $"{rule}, {options}, step {step}";
            dimer.Step(loss.Closure);
            reference.Step();
            AssertNear(
                reference.Parameters, model.Parameters.SelectMany(values => values).Select(value => (double)value),
                tolerances, $"parameter, {what}");
            AssertNear(reference.Direction, Flat(dimer), tolerances, $"direction, {what}");
            for (int scope = 0; scope < dimer.ScopeCount; scope++)
            {
                if (options.Scope == DimerScope.PerTensor && Sizes[scope] == 0)
                {
                    continue;
                }

                DimerStatus status = dimer.GetStatus(scope);
                AssertNear([reference.Curvature[scope]], [status.Curvature], tolerances, $"curvature {scope}, {what}");
                AssertNear(
                    [reference.GradientDotDirection[scope]], [status.GradientDotDirection], tolerances, $"g·N {scope}, {what}");
                Assert.Equal((step, false, false), (status.Step, status.RotationRefused, status.CorrectionSkipped));
                if ((step - 1) % options.Interval == 0)
                {
                    // An arc cosine near 1 has half the digits.
                    Assert.Equal(reference.Angle[scope], status.Angle, Math.Sqrt(tolerances * Tolerance(1)));
                }
            }
        }
    }

    private static DimerReference MakeReference(string rule, Model model, DimerOptimizer dimer, Quadratic loss) =>
        new(Rules.Case(rule).Reference, dimer.Options, loss.Gradient, model.Parameters, DimerSnapshot.Directions(dimer));

    private static double[] Flat(DimerOptimizer dimer) =>
        [.. DimerSnapshot.Directions(dimer).SelectMany(values => values).Select(value => (double)value)];

    /// <summary>
    /// Twice the largest error of a rounding to float, 2^-24, for each step: each rounds a few times, and on average by a
    /// fraction of that. A quarter of it is seen.
    /// </summary>
    private static double Tolerance(double magnitude) => 2 * Steps * Math.Pow(2, -25) * Math.Max(1, Math.Abs(magnitude));

    /// <summary>Asserts that two vectors differ little, measured by their largest element.</summary>
    private static void AssertNear(IEnumerable<double> expected, IEnumerable<double> actual, double tolerances, string what)
    {
        double[] values = [.. expected];
        double[] others = [.. actual];
        Assert.Equal(values.Length, others.Length);
        double tolerance = tolerances * Tolerance(values.Max(Math.Abs));
        for (int i = 0; i < values.Length; i++)
        {
            Assert.True(Math.Abs(values[i] - others[i]) <= tolerance, $"{what}, element {i}: {others[i]}, not {values[i]}");
        }
    }
}
