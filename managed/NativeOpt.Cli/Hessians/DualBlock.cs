using System.Numerics.Tensors;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Hessians;

/// <summary>A <see cref="GptBlock"/> of dual numbers.</summary>
internal sealed class DualBlock
{
    private readonly int _width;
    private readonly DualLayerNorm _norm1;
    private readonly DualLinear _toQkv;
    private readonly DualAttention _attention;
    private readonly DualLinear _fromHeads;
    private readonly DualLayerNorm _norm2;
    private readonly DualLinear _expand;
    private readonly DualLinear _contract;
    private readonly DualArray _normed1;
    private readonly DualArray _qkv;
    private readonly DualArray _mixed;
    private readonly DualArray _middle;
    private readonly DualArray _normed2;
    private readonly DualArray _hidden;
    private readonly DualArray _activated;

    /// <summary>Creates a block over parameters of these names, without the "h.0." of the block.</summary>
    public DualBlock(DualMatMul matMul, GptConfig config, int maximumBatch, Func<string, DualParameter> find)
    {
        int width = _width = config.Width;
        int rows = maximumBatch * config.ContextLength;
        _norm1 = Norm("ln_1");
        _toQkv = Projection("attn.c_attn");
        _attention = new DualAttention(matMul, config, maximumBatch);
        _fromHeads = Projection("attn.c_proj");
        _norm2 = Norm("ln_2");
        _expand = Projection("mlp.c_fc");
        _contract = Projection("mlp.c_proj");
        (_normed1, _qkv, _mixed) = (new DualArray(rows * width), new DualArray(rows * 3 * width), new DualArray(rows * width));
        (_middle, _normed2) = (new DualArray(rows * width), new DualArray(rows * width));
        (_hidden, _activated) = (new DualArray(rows * 4 * width), new DualArray(rows * 4 * width));
        Output = new DualArray(rows * width);

        DualLayerNorm Norm(string name) => new(find($"{name}.weight"), find($"{name}.bias"), rows);

        DualLinear Projection(string name) => new(matMul, find($"{name}.weight"), find($"{name}.bias"));
    }

    /// <summary>What the last <see cref="Forward"/> computed.</summary>
    public DualArray Output { get; }

    /// <summary>Computes <see cref="Output"/> from the residual stream <paramref name="x"/>.</summary>
    public void Forward(DualArray x, int batch, int time)
    {
        int rows = batch * time;
        _norm1.Forward(x, _normed1, rows);
        _toQkv.Forward(_normed1, _qkv, rows);
        _attention.Forward(_qkv, _mixed, batch, time);
        _fromHeads.Forward(_mixed, _middle, rows);
        Add(x, _middle, rows * _width);

        _norm2.Forward(_middle, _normed2, rows);
        _expand.Forward(_normed2, _hidden, rows);
        DualGelu.Forward(_hidden, _activated, rows * 4 * _width);
        _contract.Forward(_activated, Output, rows);
        Add(_middle, Output, rows * _width);
    }

    /// <summary>Turns the gradient of the output into that of the input, in place, and computes those of the parameters.</summary>
    public void Backward(DualArray gradient, DualArray scratch, DualArray wideScratch, int batch, int time)
    {
        int rows = batch * time;
        _contract.Backward(_activated, gradient, wideScratch, rows);
        DualGelu.Backward(_hidden, wideScratch, rows * 4 * _width);
        _expand.Backward(_normed2, wideScratch, scratch, rows);
        _norm2.Backward(scratch, gradient, rows);

        _fromHeads.Backward(_mixed, gradient, scratch, rows);
        _attention.Backward(_qkv, scratch, wideScratch, batch, time);
        _toQkv.Backward(_normed1, wideScratch, scratch, rows);
        _norm1.Backward(scratch, gradient, rows);
    }

    private static void Add(DualArray x, DualArray sum, int count)
    {
        TensorPrimitives.Add(x.Value.AsSpan(0, count), sum.Value.AsSpan(0, count), sum.Value);
        TensorPrimitives.Add(x.Tangent.AsSpan(0, count), sum.Tangent.AsSpan(0, count), sum.Tangent);
    }
}
