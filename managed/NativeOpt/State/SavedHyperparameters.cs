namespace NativeOpt;

/// <summary>
/// What becomes of the hyperparameters in a file whose values are not those of the optimizer that loads it. See
/// <see cref="TorchSharpState"/>.
/// </summary>
public enum SavedHyperparameters
{
    /// <summary>The file is refused, with a message that lists all differences.</summary>
    MustMatch = 0,

    /// <summary>The optimizer's groups take on the values of the file.</summary>
    TakeOver = 1,

    /// <summary>The optimizer keeps its own values for the steps to come.</summary>
    Keep = 2,
}
