using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Dimer;

/// <summary>Drawn and given directions.</summary>
public class DirectionTests
{
    public static TheoryData<DimerScope> Scopes => [.. Enum.GetValues<DimerScope>()];

    /// <summary>It is drawn by whatever needs it first, and always the same.</summary>
    [Theory]
    [MemberData(nameof(Scopes))]
    public void A_seed_selects_the_direction(DimerScope scope)
    {
        HashSet<string> directions = [];
        foreach (ulong seed in new ulong[] { 0, 1, 2, 1UL << 32, ulong.MaxValue })
        {
            DimerOptions options = new() { Scope = scope, Seed = seed, RotationRate = 0, Displacement = 0.1 };
            HashSet<string> own = [];
            foreach (Action<DimerSetup> use in new Action<DimerSetup>[]
            {
                _ => { },
                setup => setup.Dimer.Displace(),
                setup => setup.Dimer.Save(Stream.Null),
                setup => setup.Dimer.Options = options with { Alpha = 1 },
            })
            {
                using DimerSetup setup = new(options);
                use(setup);
                own.Add(Bits(setup.Dimer));
            }

            directions.Add(Assert.Single(own));
        }

        Assert.Equal(5, directions.Count);
    }

    [Fact]
    public void A_seed_counts_until_the_direction_is_drawn()
    {
        using DimerSetup other = new(new DimerOptions { Seed = 7 });
        using DimerSetup setup = new(new DimerOptions { Seed = 3 });
        setup.Dimer.Options = setup.Dimer.Options with { Seed = 7 };
        string drawn = Bits(setup.Dimer);
        Assert.Equal(Bits(other.Dimer), drawn);
        setup.Dimer.Options = setup.Dimer.Options with { Seed = 8 };
        Assert.Equal(drawn, Bits(setup.Dimer));
        setup.Dimer.Step(setup.Loss.Closure);
        Assert.NotEqual(drawn, Bits(setup.Dimer));
    }

    /// <summary>
    /// Elements are independent: none is 0, both signs occur, and tensors are not copies of each other. The tolerance: the
    /// length of a direction of floats is 1 but for rounding, 2^-25 of each element.
    /// </summary>
    [Theory]
    [MemberData(nameof(Scopes))]
    public void Drawn_directions_are_unit_vectors(DimerScope scope)
    {
        using Model model = new(Model.AwkwardSizes);
        using Adam optimizer = new(model.Set);
        using DimerOptimizer dimer = new(optimizer, new DimerOptions { Scope = scope });
        float[][] directions = DimerSnapshot.Directions(dimer);
        Assert.Equal(model.Parameters.Select(values => values.Length), directions.Select(values => values.Length));
        Assert.DoesNotContain(0.0f, directions.SelectMany(values => values));
        Assert.InRange(directions.SelectMany(values => values).Count(value => value > 0), 26_000, 28_000);
        Assert.True(directions.SelectMany(values => values).Distinct().Count() > 50_000);
        Assert.All(Lengths(directions, scope), length => Assert.Equal(1, length, 1e-6));
    }

    [Theory]
    [MemberData(nameof(Scopes))]
    public void A_given_direction_is_normalized_and_used(DimerScope scope)
    {
        using DimerSetup setup = new(new DimerOptions { Scope = scope, Displacement = 0.25, Interval = 1 });
        float[][] given = Given(scale: 30);
        setup.Dimer.SetDirection(given);
        AssertIs(given, 1);

        // Another one, over the first; from then on the parameters are displaced along it.
        given = [[.. Enumerable.Range(1, 7).Select(i => (float)i)], [], [1e-30f, 0, 0, -2e-30f, 0], [0, 0, 0, 0, 0, 0, 0, 1e-20f, 0]];
        if (scope == DimerScope.Global)
        {
            given[0] = new float[7];
            given[2] = new float[5];
        }

        setup.Dimer.SetDirection(given);
        AssertIs(given, 1);
        float[][] before = [.. setup.Model.Parameters.Select(values => values.ToArray())];
        float[][] direction = DimerSnapshot.Directions(setup.Dimer);
        setup.Loss.Closure();
        setup.Dimer.Displace();
        Assert.Equal(
            before.Zip(direction, (theta, n) => theta.Zip(n, (x, y) => x + (0.25f * y)).ToArray()), setup.Model.Parameters);
        setup.Dimer.Restore();
        float[] untouched = [.. Enumerable.Range(1, 7).Select(i => (float)i)];
        Assert.Equal(scope == DimerScope.Global ? new float[7] : untouched, given[0]);

        void AssertIs(float[][] expected, double norm)
        {
            float[][] actual = DimerSnapshot.Directions(setup.Dimer);
            Assert.All(Lengths(actual, scope), length => Assert.Equal(norm, length, 1e-6));
            double[] lengths = Lengths(expected, scope);
            for (int tensor = 0, own = 0; tensor < expected.Length; tensor++)
            {
                double length = scope == DimerScope.Global ? lengths[0] : expected[tensor].Length == 0 ? 1 : lengths[own++];
                for (int i = 0; i < expected[tensor].Length; i++)
                {
                    Assert.Equal(expected[tensor][i] / length, actual[tensor][i], 1e-7);
                }
            }
        }
    }

    /// <summary>A given direction is one, whether or not another was drawn before; and steps do not draw.</summary>
    [Fact]
    public void A_given_direction_replaces_a_drawn_one()
    {
        HashSet<string> results = [];
        foreach (bool drawn in new[] { false, true })
        {
            using DimerSetup setup = new(new DimerOptions { Displacement = 0.1, Seed = drawn ? 5ul : 6 });
            if (drawn)
            {
                Bits(setup.Dimer);
            }

            setup.Dimer.SetDirection(Given(scale: 2));
            setup.Dimer.Options = setup.Dimer.Options with { Seed = 0 };
            setup.Step(2);
            results.Add(DimerSnapshot.Of(setup.Dimer));
        }

        Assert.Single(results);
    }

    [Theory]
    [MemberData(nameof(Scopes))]
    public void Directions_that_do_not_fit_are_refused(DimerScope scope)
    {
        using DimerSetup setup = new(new DimerOptions { Scope = scope, Displacement = 0.1 });
        foreach (bool drawn in new[] { false, true })
        {
            if (drawn)
            {
                setup.Step(1);
                setup.Dimer.SetDirection(Given(scale: 1));
            }

            Refuses("direction has 3", Given()[..3]);
            Refuses("direction has 5", [.. Given(), []]);
            Refuses("direction has 0", []);
            Refuses("direction[2] is null", Change(2, null!));
            Refuses("direction[1] is null", Change(1, null!));
            Refuses("direction[0] has 6 elements", Change(0, new float[6]));
            Refuses("direction[1] has 1 elements", Change(1, [1]));
            Refuses("direction[3] has 0 elements", Change(3, []));
            foreach (float bad in new[] { float.NaN, float.PositiveInfinity, float.NegativeInfinity })
            {
                Refuses("direction[2]", Change(2, [1, 1, bad, 1, 1]));
            }

            Refuses("is 0", [new float[7], [], new float[5], new float[9]]);
            if (scope == DimerScope.PerTensor)
            {
                Refuses("direction[2]", Change(2, new float[5]));
                Refuses("direction[3]", Change(3, [0, 0, 0, -0.0f, 0, 0, 0, 0, 0]));
            }
        }

        // Of the tensors of one scope, all but one may be 0.
        if (scope == DimerScope.Global)
        {
            setup.Dimer.SetDirection([new float[7], [], [0, 0, -3, 0, 0], new float[9]]);
            Assert.Equal([0, 0, -1, 0, 0], DimerSnapshot.Directions(setup.Dimer)[2]);
        }

        static float[][] Change(int tensor, float[] values)
        {
            float[][] given = Given();
            given[tensor] = values;
            return given;
        }

        void Refuses(string message, float[][] direction)
        {
            ArgumentException exception =
                DimerSnapshot.Unchanged<ArgumentException>(setup.Dimer, () => setup.Dimer.SetDirection(direction));
            Assert.Equal("direction", exception.ParamName);
            Assert.Contains(message, exception.Message, StringComparison.Ordinal);
        }
    }

    /// <summary>The largest and smallest floats: their squares are neither, which is no reason to refuse them.</summary>
    [Theory]
    [MemberData(nameof(Scopes))]
    public void Any_finite_scale_will_do(DimerScope scope)
    {
        string expected = "";
        foreach (float scale in new[] { 1, 3e38f, 1e-37f })
        {
            using DimerSetup setup = new(new DimerOptions { Scope = scope });

            // Powers of 2 times the same numbers, exactly.
            float power = MathF.ScaleB(1, (int)MathF.Log2(scale));
            setup.Dimer.SetDirection([.. Given().Select(values => values.Select(value => value * power).ToArray())]);
            expected = expected.Length == 0 ? Bits(setup.Dimer) : expected;
            Assert.Equal(expected, Bits(setup.Dimer));
        }

        using DimerSetup tiny = new(new DimerOptions { Scope = scope });
        tiny.Dimer.SetDirection([.. DimerSetup.Sizes.Select(size => Enumerable.Repeat(float.Epsilon, size).ToArray())]);
        Assert.All(Lengths(DimerSnapshot.Directions(tiny.Dimer), scope), length => Assert.Equal(1, length, 1e-6));
    }

    /// <summary>
    /// A curvature that was measured along another direction says nothing about the new one: until the next update nothing
    /// is known, and nothing escapes.
    /// </summary>
    [Fact]
    public void A_given_direction_has_no_curvature_yet()
    {
        using DimerSetup setup = new(new DimerOptions { Interval = 5, Displacement = 0.1 });
        setup.Step(1);
        Assert.True(double.IsFinite(setup.Dimer.GetStatus().Curvature));
        setup.Dimer.SetDirection(Given());
        Assert.Equal(double.NaN, setup.Dimer.GetStatus().Curvature);
    }

    private static string Bits(DimerOptimizer dimer) => string.Join(
        ' ', Enumerable.Range(0, dimer.Optimizer.ParameterSet.Count).Select(tensor => Snapshot.Bits(dimer.GetDirection(tensor))));

    /// <summary>A direction for <see cref="DimerSetup"/>, of no particular length.</summary>
    private static float[][] Given(double scale = 1) =>
        [.. DimerSetup.Sizes.Select((size, tensor) => Model.Values(size, seed: 400 + tensor, scale))];

    /// <summary>Of each scope that has elements.</summary>
    private static double[] Lengths(float[][] directions, DimerScope scope)
    {
        double[] squares = [.. directions.Where(values => values.Length > 0).Select(values => values.Sum(x => (double)x * x))];
        return scope == DimerScope.Global ? [Math.Sqrt(squares.Sum())] : [.. squares.Select(Math.Sqrt)];
    }
}
