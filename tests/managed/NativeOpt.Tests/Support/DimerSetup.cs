namespace NativeOpt.Tests.Support;

/// <summary>A small model on an indefinite quadratic loss, an optimizer and a dimer around it.</summary>
internal sealed class DimerSetup : IDisposable
{
    /// <summary>One tensor is empty.</summary>
    public static readonly int[] Sizes = [7, 0, 5, 9];

    public static readonly double[] Eigenvalues = Quadratic.Spread(21, -0.3, 0.5);

    public DimerSetup(DimerOptions? options = null, string optimizer = nameof(Adam))
    {
        Model = new Model(Sizes);
        Optimizer = Rules.OneOfEach[optimizer](Model.Set);
        Dimer = new DimerOptimizer(Optimizer, options);
        Loss = new Quadratic(Model, Eigenvalues);
    }

    public Model Model { get; }

    public Optimizer Optimizer { get; }

    public DimerOptimizer Dimer { get; }

    public Quadratic Loss { get; }

    /// <summary>Takes steps with the closure.</summary>
    public void Step(int steps)
    {
        for (int step = 0; step < steps; step++)
        {
            Dimer.Step(Loss.Closure);
        }
    }

    public void Dispose()
    {
        Dimer.Dispose();
        Optimizer.Dispose();
        Model.Dispose();
    }
}
