using NativeOpt.Tests.Support;
using Xunit;

namespace NativeOpt.Tests.Dimer;

/// <summary>A dimer around an optimizer with states of 8 bits: its own vectors stay float32.</summary>
public class Dynamic8DimerTests
{
    private static readonly AdamOptions States =
        new() { LearningRate = 0.01, Amsgrad = true, StateType = DType.Dynamic8, MinDynamic8ElementCount = 6 };

    public static TheoryData<RotationAngle> Angles => [.. Enum.GetValues<RotationAngle>()];

    /// <summary>
    /// With a learning rate of 0 the states matter to nothing but themselves: the same direction and curvature, to the bit, as
    /// with float32 states.
    /// </summary>
    [Theory]
    [MemberData(nameof(Angles))]
    public void Directions_do_not_depend_on_the_states(RotationAngle angle)
    {
        (string Directions, double Curvature) short8 = Run(States with { LearningRate = 0 });
        Assert.Equal(Run(new AdamOptions { Amsgrad = true, LearningRate = 0 }), short8);
        Assert.True(short8.Curvature < -0.2);

        (string, double) Run(AdamOptions options)
        {
            using Model model = new(DimerSetup.Sizes);
            using Adam optimizer = new(model.Set, options);
            using DimerOptimizer dimer = new(
                optimizer, new DimerOptions { Displacement = 0.5, Interval = 1, Angle = angle, RotationRate = 0.3 });
            Quadratic loss = new(model, DimerSetup.Eigenvalues);
            for (int step = 0; step < 60; step++)
            {
                dimer.Step(loss.Closure);
            }

            return (
                string.Join(' ', Enumerable.Range(0, model.Set.Count).Select(tensor => Snapshot.Bits(dimer.GetDirection(tensor)))),
                dimer.GetStatus().Curvature);
        }
    }

    [Fact]
    public void Resumes_bit_for_bit()
    {
        DimerOptions options = DimerOptions.Recommended with { Displacement = 0.1, Interval = 3 };
        using Setup whole = new(options);
        whole.Step(10);
        Assert.Equal(DType.Dynamic8, whole.Optimizer.GetState(StateRole.ExpAvgSq, 0).DType);
        Assert.Equal(DType.Float32, whole.Optimizer.GetState(StateRole.ExpAvgSq, 2).DType);

        using MemoryStream file = new();
        using (Setup first = new(options))
        {
            first.Step(5);
            first.Dimer.Save(file, includeParameters: true);
        }

        using Setup second = new(options with { Seed = 99 });
        second.Step(7);
        file.Position = 0;
        second.Dimer.Load(file);
        second.Step(5);
        Assert.Equal(DimerSnapshot.Of(whole.Dimer), DimerSnapshot.Of(second.Dimer));
    }

    private sealed class Setup : IDisposable
    {
        private readonly Model _model = new(DimerSetup.Sizes);
        private readonly Quadratic _loss;

        public Setup(DimerOptions options)
        {
            Optimizer = new Adam(_model.Set, States);
            Dimer = new DimerOptimizer(Optimizer, options);
            _loss = new Quadratic(_model, DimerSetup.Eigenvalues);
        }

        public Adam Optimizer { get; }

        public DimerOptimizer Dimer { get; }

        public void Step(int steps)
        {
            for (int step = 0; step < steps; step++)
            {
                Dimer.Step(_loss.Closure);
            }
        }

        public void Dispose()
        {
            Dimer.Dispose();
            Optimizer.Dispose();
            _model.Dispose();
        }
    }
}
