namespace NativeOpt.Cli.Training;

/// <summary>A linear layer: y = x·Wᵀ + b.</summary>
internal sealed class Linear
{
    private readonly MatMul _matMul;
    private readonly Elementwise _elementwise;
    private readonly GptParameter _weight;
    private readonly GptParameter? _bias;

    /// <summary>Creates a layer over parameters that the model owns.</summary>
    public Linear(MatMul matMul, Elementwise elementwise, GptParameter weight, GptParameter? bias)
    {
        (_matMul, _elementwise, _weight, _bias) = (matMul, elementwise, weight, bias);
    }

    private int Outputs => _weight.Shape[0];

    private int Inputs => _weight.Shape[1];

    /// <summary>Computes y.</summary>
    public void Forward(float[] x, float[] y, int rows) =>
        _matMul.Multiply(
            new Matrix(x, rows, Inputs), _weight.ValueMatrix.Transposed, new Matrix(y, rows, Outputs), _bias?.Value);

    /// <summary>Computes the gradients of the weight, the bias and the input from that of the output; null for dx: of the input
    /// none is wanted, as it is that of the model.</summary>
    public void Backward(float[] x, float[] dy, float[]? dx, int rows)
    {
        var output = new Matrix(dy, rows, Outputs);
        _matMul.Multiply(output.Transposed, new Matrix(x, rows, Inputs), _weight.GradientMatrix);
        if (dx is not null)
        {
            _matMul.Multiply(output, _weight.ValueMatrix, new Matrix(dx, rows, Inputs));
        }

        if (_bias is not null)
        {
            _elementwise.SumRows(dy, rows, _bias.Gradient);
        }
    }
}
