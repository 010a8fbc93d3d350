namespace NativeOpt.Cli.Hessians;

/// <summary>A tensor of a <see cref="DualGpt"/>: its numbers with their direction, and its gradient with the Hessian's product.
/// </summary>
internal sealed class DualParameter(string name, int[] shape, int length)
{
    /// <summary>The name that the model gives it.</summary>
    public string Name { get; } = name;

    /// <summary>The sizes, outermost first.</summary>
    public int[] Shape { get; } = shape;

    /// <summary>The parameters, and the direction along which everything is differentiated.</summary>
    public DualArray Data { get; } = new(length);

    /// <summary>The gradient of the mean loss, and its derivative along the direction: the Hessian times the direction.</summary>
    public DualArray Gradient { get; } = new(length);

    /// <summary><see cref="Data"/> as a matrix.</summary>
    public DualMatrix Matrix => new(Data, Shape[0], Shape[1]);

    /// <summary><see cref="Gradient"/> as a matrix.</summary>
    public DualMatrix GradientMatrix => new(Gradient, Shape[0], Shape[1]);
}
