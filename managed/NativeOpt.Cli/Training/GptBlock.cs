namespace NativeOpt.Cli.Training;

/// <summary>
/// One pre-norm transformer block: x + attention(norm(x)), and on that, y + mlp(norm(y)).
/// </summary>
internal sealed class GptBlock
{
    private readonly int _width;
    private readonly LayerNorm _norm1;
    private readonly Linear _toQkv;
    private readonly CausalAttention _attention;
    private readonly Linear _fromHeads;
    private readonly LayerNorm _norm2;
    private readonly Linear _expand;
    private readonly Linear _contract;
    private readonly Elementwise _elementwise;

    // What the backward pass needs again.
    private readonly float[] _normed1;
    private readonly float[] _qkv;
    private readonly float[] _mixed;
    private readonly float[] _middle;
    private readonly float[] _normed2;
    private readonly float[] _hidden;
    private readonly float[] _activated;

    /// <summary>Creates block <paramref name="index"/> and appends its parameters to the list.</summary>
    public GptBlock(
        ParallelLoop loop, MatMul matMul, Elementwise elementwise, GptConfig config, int maximumBatch, int index,
        List<GptParameter> parameters)
    {
        int width = _width = config.Width;
        int rows = maximumBatch * config.ContextLength;
        _elementwise = elementwise;
        _norm1 = Norm("ln_1");
        _toQkv = Projection("attn.c_attn", 3 * width, width);
        _attention = new CausalAttention(loop, config, maximumBatch);
        _fromHeads = Projection("attn.c_proj", width, width);
        _norm2 = Norm("ln_2");
        _expand = Projection("mlp.c_fc", 4 * width, width);
        _contract = Projection("mlp.c_proj", width, 4 * width);

        _normed1 = new float[rows * width];
        _qkv = new float[rows * 3 * width];
        _mixed = new float[rows * width];
        _middle = new float[rows * width];
        _normed2 = new float[rows * width];
        _hidden = new float[rows * 4 * width];
        _activated = new float[rows * 4 * width];
        Output = new float[rows * width];

        GptParameter Create(string name, params int[] shape)
        {
            var parameter = new GptParameter($"h.{index}.{name}", shape);
            parameters.Add(parameter);
            return parameter;
        }

        LayerNorm Norm(string name) => new(loop, Create($"{name}.weight", width), Create($"{name}.bias", width), rows);

        Linear Projection(string name, int outputs, int inputs) => new(
            matMul, elementwise, Create($"{name}.weight", outputs, inputs), Create($"{name}.bias", outputs));
    }

    /// <summary>What the last <see cref="Forward"/> computed.</summary>
    public float[] Output { get; }

    /// <summary>Computes <see cref="Output"/> from the residual stream <paramref name="x"/>.</summary>
    public void Forward(float[] x, int batch, int time)
    {
        int rows = batch * time;
        _norm1.Forward(x, _normed1, rows);
        _toQkv.Forward(_normed1, _qkv, rows);
        _attention.Forward(_qkv, _mixed, batch, time);
        _fromHeads.Forward(_mixed, _middle, rows);
        _elementwise.Add(x, _middle, _middle, rows * _width);

        _norm2.Forward(_middle, _normed2, rows);
        _expand.Forward(_normed2, _hidden, rows);
        _elementwise.Gelu(_hidden, _activated, rows * 4 * _width);
        _contract.Forward(_activated, Output, rows);
        _elementwise.Add(_middle, Output, Output, rows * _width);
    }

    /// <summary>Turns the gradient of the output into that of the input, in place, and computes those of the
    /// parameters. The two scratch arrays are shared by all blocks.</summary>
    public void Backward(float[] x, float[] gradient, float[] scratch, float[] wideScratch, int batch, int time)
    {
        int rows = batch * time;
        _contract.Backward(_activated, gradient, wideScratch, rows);
        _elementwise.GeluBackward(_hidden, wideScratch, rows * 4 * _width);
        _expand.Backward(_normed2, wideScratch, scratch, rows);
        _norm2.Backward(_middle, scratch, gradient, rows);

        _fromHeads.Backward(_mixed, gradient, scratch, rows);
        _attention.Backward(_qkv, scratch, wideScratch, batch, time);
        _toQkv.Backward(_normed1, wideScratch, scratch, rows);
        _norm1.Backward(x, scratch, gradient, rows);
    }
}
