namespace NativeOpt;

/// <summary>
/// A running scalar of a rule, as the native library describes it: a number that each step takes on, such as the product of
/// beta1 over all steps.
/// </summary>
/// <param name="Index">The running scalar's place among those of its rule, from 0.</param>
/// <param name="Name">The name, for example "beta1_product". State files use it.</param>
/// <param name="Meaning">One line that says what the number is.</param>
/// <param name="InitialValue">The value before the first step.</param>
public sealed record RunningScalar(int Index, string Name, string Meaning, double InitialValue);
