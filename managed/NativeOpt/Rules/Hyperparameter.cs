using System.Globalization;

namespace NativeOpt;

/// <summary>A hyperparameter of a rule, as the native library describes it.</summary>
/// <param name="Index">The hyperparameter's place among those of its rule, from 0.</param>
/// <param name="Name">The name, for example "beta1".</param>
/// <param name="Meaning">One line that says what the hyperparameter is.</param>
/// <param name="Default">The value that torch or the paper has.</param>
/// <param name="Minimum">The smallest value.</param>
/// <param name="Maximum">
/// The largest value. <see cref="float.MaxValue"/> says that steps compute with the value as a float, as it is: it must then be
/// <paramref name="Minimum"/>, or normal and finite as a float (1.18e-38 to 3.4e38).
/// </param>
/// <param name="MaximumIsExcluded">Whether values must be below <paramref name="Maximum"/>, and not equal to it.</param>
/// <param name="IsInteger">Whether values must be whole numbers.</param>
/// <param name="SelectsStates">
/// Whether a state depends on it (<see cref="RuleState.NeededHyperparameter"/>), so that all groups of an optimizer must
/// be on the same side of that state's bound.
/// </param>
public sealed record Hyperparameter(
    int Index,
    string Name,
    string Meaning,
    double Default,
    double Minimum,
    double Maximum,
    bool MaximumIsExcluded,
    bool IsInteger,
    bool SelectsStates)
{
    /// <summary>The range in words, for example "in [0, 1)" or "0, or normal and finite as a float (1.18e-38 to 3.4e38)".</summary>
    public string Range
    {
        get
        {
            string range = IsFloat
                ? string.Create(CultureInfo.InvariantCulture, $"{Minimum}, or normal and finite as a float (1.18e-38 to 3.4e38)")
                : string.Create(
                    CultureInfo.InvariantCulture, $"in [{Minimum}, {Maximum}{(MaximumIsExcluded ? ')' : ']')}");
            return IsInteger ? "a whole number " + range : range;
        }
    }

    /// <summary>Says whether a value is in the range. NaN is in none.</summary>
    /// <param name="value">The value.</param>
    /// <returns>True if the rule takes it.</returns>
    public bool Allows(double value) =>
        value >= Minimum && (MaximumIsExcluded ? value < Maximum : value <= Maximum)
        && (!IsFloat || value == Minimum || value >= Check.SmallestNormal)
        && (!IsInteger || value == Math.Floor(value));

    private bool IsFloat => Maximum == float.MaxValue;

    /// <summary>Throws unless a value is in the range.</summary>
    /// <param name="value">The value.</param>
    /// <param name="what">What the message calls the hyperparameter.</param>
    /// <param name="paramName">The argument that the value comes from.</param>
    internal void Require(double value, string what, string paramName)
    {
        if (!Allows(value))
        {
            throw new ArgumentOutOfRangeException(
                paramName,
                value,
                string.Create(CultureInfo.InvariantCulture, $"{what} is {value}; it must be {Range}."));
        }
    }
}
