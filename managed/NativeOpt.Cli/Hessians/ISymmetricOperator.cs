namespace NativeOpt.Cli.Hessians;

/// <summary>A symmetric matrix that is known by its products with vectors.</summary>
internal interface ISymmetricOperator
{
    /// <summary>The number of rows and columns.</summary>
    public int Dimension { get; }

    /// <summary>Computes the product with a vector.</summary>
    /// <param name="vector">As many numbers as there are columns.</param>
    /// <param name="product">Room for as many.</param>
    public void Multiply(ReadOnlySpan<double> vector, Span<double> product);
}
