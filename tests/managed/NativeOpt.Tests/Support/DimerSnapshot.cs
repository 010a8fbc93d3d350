using System.Globalization;
using Xunit;

namespace NativeOpt.Tests.Support;

/// <summary>All that later steps of a dimer depend on, bit for bit.</summary>
internal static class DimerSnapshot
{
    /// <remarks>It draws the direction, unless that is there.</remarks>
    public static string Of(DimerOptimizer dimer) => string.Join(
        '\n',
        [
            Snapshot.Of(dimer.Optimizer),
            dimer.StepCount.ToString(CultureInfo.InvariantCulture),
            dimer.GradientEvaluations.ToString(CultureInfo.InvariantCulture),
            $"displaced {dimer.IsDisplaced}, needs a gradient {dimer.NeedsDisplacedGradient}",
            dimer.Options.ToString(),
            .. Enumerable.Range(0, dimer.ScopeCount)
                .Select(scope => dimer.GetStatus(scope).Curvature.ToString("R", CultureInfo.InvariantCulture)),
            .. Enumerable.Range(0, dimer.Optimizer.ParameterSet.Count)
                .Select(tensor => Snapshot.Bits(dimer.GetDirection(tensor))),
        ]);

    /// <summary>Asserts that an action throws exactly this exception, and leaves everything as it was.</summary>
    public static TException Unchanged<TException>(DimerOptimizer dimer, Action action)
        where TException : Exception
    {
        string before = Of(dimer);
        TException exception = Assert.Throws<TException>(action);
        Assert.Equal(before, Of(dimer));
        return exception;
    }

    public static float[][] Directions(DimerOptimizer dimer) =>
        [.. Enumerable.Range(0, dimer.Optimizer.ParameterSet.Count).Select(tensor => Snapshot.Values(dimer.GetDirection(tensor)))];
}
