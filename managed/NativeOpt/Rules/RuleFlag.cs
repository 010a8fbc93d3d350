using NativeOpt.Interop;

namespace NativeOpt;

/// <summary>An option of a rule that is on or off, as the native library describes it.</summary>
/// <param name="Bit">The flag's bit in the native library.</param>
/// <param name="Name">The name, for example "amsgrad".</param>
/// <param name="Meaning">One line that says what the flag does.</param>
/// <param name="NeededHyperparameter">The name of a hyperparameter that must be above 0 with the flag, or null.</param>
/// <param name="SelectsStates">
/// Whether a state depends on it (<see cref="RuleState.NeededFlag"/>), so that it must be the same in all groups of an
/// optimizer.
/// </param>
public sealed record RuleFlag(
    uint Bit, string Name, string Meaning, string? NeededHyperparameter, bool SelectsStates)
{
    private const uint StochasticRounding =
        (uint)(nopt_flag.NOPT_FLAG_STOCHASTIC_ROUNDING | nopt_flag.NOPT_FLAG_STOCHASTIC_ROUNDING_STATES);

    /// <summary>Whether it says what is rounded at random, which is chosen with the seed when an optimizer is made.</summary>
    internal bool RoundsAtRandom => (Bit & StochasticRounding) != 0;
}
