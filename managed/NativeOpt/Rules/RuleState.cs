namespace NativeOpt;

/// <summary>
/// A state of a rule, as the native library describes it: a buffer with one element for each of the parameter's, which is
/// kept from step to step.
/// </summary>
/// <param name="Index">The state's place among those of its rule, from 0.</param>
/// <param name="Name">The name, for example "exp_avg". State files use it, and so does <see cref="StateRole"/>.</param>
/// <param name="Meaning">One line that says what the state holds.</param>
/// <param name="IsSigned">
/// Whether the state has negative values. This decides which numbers the bytes of <see cref="DType.Dynamic8"/> stand for.
/// </param>
/// <param name="DTypes">The element types that the state may have.</param>
/// <param name="InitialValue">The value of all elements before the first step, unless <paramref name="InitialHyperparameter"/> is given.</param>
/// <param name="InitialHyperparameter">The name of the hyperparameter whose value all elements have before the first step, or null.</param>
/// <param name="NeededFlag">The name of the flag without which there is no such state, or null.</param>
/// <param name="NeededHyperparameter">
/// The name of the hyperparameter that must be above <paramref name="NeededAbove"/>, or there is no such state; or null.
/// </param>
/// <param name="NeededAbove">The bound of <paramref name="NeededHyperparameter"/>.</param>
public sealed record RuleState(
    int Index,
    string Name,
    string Meaning,
    bool IsSigned,
    IReadOnlyList<DType> DTypes,
    double InitialValue,
    string? InitialHyperparameter,
    string? NeededFlag,
    string? NeededHyperparameter,
    double NeededAbove)
{
    /// <summary>The name by which an <see cref="Optimizer"/> is asked for the state's buffers.</summary>
    public StateRole Role => new(Name);
}
