namespace NativeOpt.Cli.Hessians;

/// <summary>What <c>nativeopt hessian</c> computes around each solution, the same for all.</summary>
internal sealed record HessianPlan
{
    /// <summary>Windows of the text whose mean loss is differentiated.</summary>
    public int Windows { get; init; } = 32;

    /// <summary>Products of the iteration that finds the extreme eigenvalues.</summary>
    public int LanczosSteps { get; init; } = 80;

    /// <summary>The eigenvalues to tell at each end.</summary>
    public int Eigenvalues { get; init; } = 5;

    /// <summary>Random vectors for density and trace.</summary>
    public int Probes { get; init; } = 8;

    /// <summary>Products for each of them.</summary>
    public int DensitySteps { get; init; } = 40;

    /// <summary>Random directions along which the loss is looked at.</summary>
    public int Directions { get; init; } = 3;

    /// <summary>How far the loss is looked at, to both sides; null: as suits the kind of direction.</summary>
    public double? Range { get; init; }

    /// <summary>Whether the directions are normalised filter by filter, and not as a whole.</summary>
    public bool FilterNormalisation { get; init; }

    /// <summary>Selects windows, first vectors, probes and directions.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Threads; they never change a result.</summary>
    public int Threads { get; init; } = Environment.ProcessorCount;

    /// <summary>Losses at so many points of each direction, the solution in their middle.</summary>
    public static int Points => 41;

    /// <summary>How far the loss is looked at, to both sides.</summary>
    public double Reach => Range ?? (FilterNormalisation ? 1 : 10);

    /// <summary>The distances of the points.</summary>
    public IReadOnlyList<double> Distances => [.. Enumerable.Range(0, Points).Select(i => Reach * ((2.0 * i / (Points - 1)) - 1))];

    /// <summary>The products, and losses along directions, of one solution.</summary>
    public int Work => LanczosSteps + (Probes * DensitySteps) + (Directions * Points);
}
