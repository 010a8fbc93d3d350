namespace NativeOpt;

/// <summary>A tensor that need not exist yet: its size and its types.</summary>
/// <param name="ElementCount">The number of elements, 0 or more.</param>
/// <param name="DType">The element type of the parameter.</param>
/// <param name="GradientType">That of its gradient; null: the parameter's.</param>
/// <param name="StateType">That of its states; null: what the optimizer's options say.</param>
public readonly record struct TensorSpec(
    long ElementCount, DType DType = DType.Float32, DType? GradientType = null, DType? StateType = null);
