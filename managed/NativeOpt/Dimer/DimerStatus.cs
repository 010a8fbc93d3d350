namespace NativeOpt;

/// <summary>What a dimer knows of one of its scopes after a rotation or a step.</summary>
/// <param name="Step">The optimizer's step count after the step that it belongs to; 0 before the first.</param>
/// <param name="Curvature">
/// The last measured curvature of the loss along the direction (of its negative where it is maximized): before a rotation
/// of fixed rate, after one of another angle. NaN as long as none was measured.
/// </param>
/// <param name="GradientDotDirection">g·N̂, with the direction as it is now.</param>
/// <param name="Angle">By how much the last rotation turned the direction, in radians, 0 to π/2.</param>
/// <param name="RotationRefused">
/// Whether the direction was kept and nothing corrected, since the turned one was 0 or not finite, as after a gradient with
/// a NaN.
/// </param>
/// <param name="CorrectionSkipped">Whether nothing was corrected, since g·N̂ was not finite.</param>
public readonly record struct DimerStatus(
    long Step, double Curvature, double GradientDotDirection, double Angle, bool RotationRefused, bool CorrectionSkipped)
{
    /// <summary>
    /// Whether the last step was due to update the direction and did not, since a loss at displaced parameters was not finite: it
    /// was the optimizer's own step. <see cref="DimerOptimizer.LostUpdates"/> counts such updates.
    /// </summary>
    public bool UpdateLost { get; init; }
}
