using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Optimizers;

/// <summary>bfloat16 states that are rounded at random: right on average, and the same in every run.</summary>
public class StochasticStatesTests
{
    private const int Elements = 4096;

    private static readonly AdamOptions Stochastic =
        new() { StateType = DType.BFloat16, StochasticRoundingStates = true, RoundingSeed = 3 };

    // Those of which every state may be bfloat16.
    public static TheoryData<string> RuleNames =>
    [
        .. Rule.All.Where(static rule => rule.States.All(static state => state.DTypes.Contains(DType.BFloat16)))
            .Select(static rule => rule.Name),
    ];

    /// <summary>
    /// With a gradient of 1 and the default decay rate of 0.999, v rises to 1 - 0.999^t, and decays from there by 0.999 in each
    /// step without one. Rounded to nearest it stops at a quarter, and then stays.
    /// </summary>
    [Fact]
    public void Second_moments_rise_and_decay_as_in_float32()
    {
        (double risen, double decayed) = Run(Stochastic);
        (double expected, double after) = Run(new AdamOptions());
        Assert.Equal((0.8648, 0.3180), (Math.Round(expected, 4), Math.Round(after, 4)));

        // An element's roundings vary by less than a quarter of the square of the spacing, 2^-8, in each step, and v forgets
        // them by 0.999 a step. The bound is 4 standard deviations of the mean.
        double bound = 4 * Math.Sqrt(0.25 / (1 - (0.999 * 0.999)) / Elements) / 256;
        Assert.InRange(risen, expected - bound, expected + bound);
        Assert.InRange(decayed, after - bound, after + bound);
        Assert.Equal((0.25, 0.25), Run(new AdamOptions { StateType = DType.BFloat16 }));

        static (double Risen, double Decayed) Run(AdamOptions options)
        {
            using Model model = new(Elements);
            using Adam optimizer = new(model.Set, options);
            double risen = After(2000, 1);
            return (risen, After(1000, 0));

            double After(int steps, float gradient)
            {
                Array.Fill(model.Gradients[0], gradient);
                for (int step = 0; step < steps; step++)
                {
                    optimizer.Step();
                }

                return Snapshot.Values(optimizer, StateRole.ExpAvgSq, 0).Average(static v => (double)v);
            }
        }
    }

    /// <summary>What is drawn follows from the seed and the tensor's step count, which files hold.</summary>
    [Theory]
    [MemberData(nameof(RuleNames))]
    public void Resumes_bit_for_bit(string rule)
    {
        RuleOptions options = new(rule)
        {
            StateType = DType.BFloat16,
            StochasticRoundingStates = true,
            RoundingSeed = 3,
            Hyperparameters = rule == "sgd" ? new Dictionary<string, double> { ["momentum"] = 0.9 } : [],
        };
        using MemoryStream file = new();
        using Model whole = new(300, 0, 1000);
        using RuleOptimizer uninterrupted = new(whole.Set, options);
        whole.Step(uninterrupted, 1, 4);
        uninterrupted.Save(file, includeParameters: true);
        whole.Step(uninterrupted, 5, 8);

        using Model second = new(300, 0, 1000);
        using RuleOptimizer resumed = new(second.Set, options);
        file.Position = 0;
        resumed.Load(file);
        second.Step(resumed, 5, 8);
        Assert.Equal(Snapshot.Of(uninterrupted), Snapshot.Of(resumed));

        using Model third = new(300, 0, 1000);
        using RuleOptimizer other = new(third.Set, options with { RoundingSeed = 4 });
        third.Step(other, 1, 8);
        Assert.NotEqual(Snapshot.Of(uninterrupted), Snapshot.Of(other));
    }
}
