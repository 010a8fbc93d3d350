namespace NativeOpt;

/// <summary>What a host asks of a dimer within a step.</summary>
internal enum DimerAction
{
    /// <summary>Displace the parameters, or rotate and displace them anew.</summary>
    Displace,

    /// <summary>Take the step.</summary>
    Step,

    /// <summary>Put the parameters back.</summary>
    Restore,
}

/// <summary>How far a dimer's step in progress is; the default value is the beginning of a step.</summary>
/// <param name="Displacements">The times that the parameters have been displaced in it.</param>
/// <param name="GaveUp">Whether the host has given the step's update up, so that it goes on without one.</param>
internal readonly record struct DimerProgress(int Displacements, bool GaveUp)
{
    public bool IsDisplaced => Displacements > 0;

    /// <summary>Whether the step needs another gradient at displaced parameters.</summary>
    /// <param name="isUpdateDue">Whether the direction turns in this step.</param>
    /// <param name="displacedGradients">The gradients at displaced parameters that an update needs.</param>
    public bool NeedsDisplacement(bool isUpdateDue, long displacedGradients) =>
        !GaveUp && isUpdateDue && Displacements < displacedGradients;

    /// <summary>The progress after an action.</summary>
    /// <param name="action">The action.</param>
    /// <param name="isUpdateDue">Whether the direction turns in this step.</param>
    /// <param name="displacedGradients">The gradients at displaced parameters that an update needs.</param>
    /// <exception cref="InvalidOperationException">The action does not fit the progress.</exception>
    public DimerProgress After(DimerAction action, bool isUpdateDue, long displacedGradients) => action switch
    {
        DimerAction.Displace when Displacements >= displacedGradients =>
            throw new InvalidOperationException("The step needs no more displaced gradients; call Step."),
        DimerAction.Displace when !isUpdateDue => throw new InvalidOperationException(
            "No update of the direction is due in this step (NeedsDisplacedGradient): call Step. Or change Interval."),
        DimerAction.Displace => new DimerProgress(Displacements + 1, false),
        DimerAction.Step when NeedsDisplacement(isUpdateDue, displacedGradients) => throw new InvalidOperationException(
            "The step needs a gradient at displaced parameters (NeedsDisplacedGradient): call Displace, compute the "
            + "gradients again, then Step. Or use the Step that takes a closure."),
        DimerAction.Restore when !IsDisplaced =>
            throw new InvalidOperationException("The parameters are not displaced."),
        DimerAction.Restore => new DimerProgress(0, true),
        _ => default,
    };
}
