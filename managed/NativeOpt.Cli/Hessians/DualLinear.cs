using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Hessians;

/// <summary>A <see cref="Linear"/> layer of dual numbers: y = x·Wᵀ + b.</summary>
/// <param name="matMul">The products.</param>
/// <param name="weight">W and its gradient.</param>
/// <param name="bias">b and its gradient, if there is one.</param>
internal sealed class DualLinear(DualMatMul matMul, DualParameter weight, DualParameter? bias)
{
    private int Outputs => weight.Shape[0];

    private int Inputs => weight.Shape[1];

    /// <summary>Computes y.</summary>
    public void Forward(DualArray x, DualArray y, int rows)
    {
        matMul.Multiply(new DualMatrix(x, rows, Inputs), weight.Matrix.Transposed, new DualMatrix(y, rows, Outputs));
        if (bias is null)
        {
            return;
        }

        AddToRows(bias.Data.Value, y.Value, rows);
        AddToRows(bias.Data.Tangent, y.Tangent, rows);
    }

    /// <summary>Computes the gradients of the weight, the bias and the input from that of the output.</summary>
    public void Backward(DualArray x, DualArray dy, DualArray dx, int rows)
    {
        var output = new DualMatrix(dy, rows, Outputs);
        matMul.Multiply(output.Transposed, new DualMatrix(x, rows, Inputs), weight.GradientMatrix);
        matMul.Multiply(output, weight.Matrix, new DualMatrix(dx, rows, Inputs));
        if (bias is not null)
        {
            Elementwise.AddSlices(dy.Value, rows, bias.Gradient.Value);
            Elementwise.AddSlices(dy.Tangent, rows, bias.Gradient.Tangent);
        }
    }

    private static void AddToRows(ReadOnlySpan<float> row, float[] matrix, int rows)
    {
        for (int i = 0; i < rows; i++)
        {
            Span<float> sum = matrix.AsSpan(i * row.Length, row.Length);
            VectorMath.Add(sum, row, sum);
        }
    }
}
