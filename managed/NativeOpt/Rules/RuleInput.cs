namespace NativeOpt;

/// <summary>
/// An input of a rule, as the native library describes it: a buffer with one element for each of the parameter's, which the
/// host may give beside the gradient (<see cref="Optimizer.SetInput(string, ReadOnlySpan{TensorRef})"/>).
/// </summary>
/// <param name="Index">The input's place among those of its rule, from 0.</param>
/// <param name="Name">The name, for example "hessian".</param>
/// <param name="Meaning">One line that says what the input holds, and what a step does without it.</param>
public sealed record RuleInput(int Index, string Name, string Meaning);
