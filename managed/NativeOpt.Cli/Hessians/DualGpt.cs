using System.Numerics.Tensors;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Hessians;

/// <summary>
/// A <see cref="Gpt"/> whose forward and backward passes are computed on dual numbers, on one thread. With the parameters' tangents
/// set to a direction, the gradients' tangents are the Hessian times this direction: forward-mode differentiation of the backward
/// pass (Pearlmutter 1994), exact but for rounding.
/// </summary>
internal sealed class DualGpt
{
    private readonly GptConfig _config;
    private readonly DualParameter _tokenEmbedding;
    private readonly DualParameter _positionEmbedding;
    private readonly DualBlock[] _blocks;
    private readonly DualLayerNorm _finalNorm;
    private readonly DualLinear _head;
    private readonly DualArray _embedded;
    private readonly DualArray _normed;
    private readonly DualArray _logits;
    private readonly DualArray _gradient;
    private readonly DualArray _scratch;
    private readonly DualArray _wideScratch;

    /// <param name="model">The model whose shape this one has, and whose parameters it begins with.</param>
    /// <param name="maximumBatch">The most sequences of full context length that one call takes.</param>
    public DualGpt(Gpt model, int maximumBatch)
    {
        _config = model.Config;
        Parameters = [.. model.Parameters.Select(static own => new DualParameter(own.Name, own.Shape, own.Value.Length))];
        Dictionary<string, DualParameter> byName = Parameters.ToDictionary(static own => own.Name);
        var matMul = new DualMatMul();
        int width = _config.Width;
        int rows = checked(maximumBatch * _config.ContextLength);
        (_tokenEmbedding, _positionEmbedding) = (byName["wte"], byName["wpe"]);
        _blocks =
        [
            .. Enumerable.Range(0, _config.Layers)
                .Select(i => new DualBlock(matMul, _config, maximumBatch, name => byName[$"h.{i}.{name}"])),
        ];
        _finalNorm = new DualLayerNorm(byName["ln_f.weight"], byName["ln_f.bias"], rows);
        _head = new DualLinear(matMul, _tokenEmbedding, bias: null);
        (_embedded, _normed) = (new DualArray(rows * width), new DualArray(rows * width));
        (_logits, _gradient) = (new DualArray(checked(rows * _config.VocabularySize)), new DualArray(rows * width));
        (_scratch, _wideScratch) = (new DualArray(rows * width), new DualArray(rows * 4 * width));
        for (int i = 0; i < Parameters.Count; i++)
        {
            model.Parameters[i].Value.CopyTo(Parameters[i].Data.Value, 0);
        }
    }

    /// <summary>The parameters, in the order of the model's.</summary>
    public IReadOnlyList<DualParameter> Parameters { get; }

    /// <summary>Computes the gradient of the mean loss of some sequences, and the Hessian times the direction.</summary>
    /// <param name="inputs">The tokens of <paramref name="batch"/> sequences of equal length, in turn.</param>
    /// <param name="targets">For each input the token that follows it.</param>
    /// <param name="batch">Number of sequences.</param>
    public void ForwardBackward(ReadOnlySpan<int> inputs, ReadOnlySpan<int> targets, int batch)
    {
        int rows = inputs.Length;
        int time = rows / batch;
        Embed(inputs, time);
        DualArray x = _embedded;
        foreach (DualBlock block in _blocks)
        {
            block.Forward(x, batch, time);
            x = block.Output;
        }

        _finalNorm.Forward(x, _normed, rows);
        _head.Forward(_normed, _logits, rows);
        DifferentiateLoss(targets);

        _head.Backward(_normed, _logits, _scratch, rows);
        _gradient.Clear(rows * _config.Width);
        _finalNorm.Backward(_scratch, _gradient, rows);
        for (int i = _blocks.Length - 1; i >= 0; i--)
        {
            _blocks[i].Backward(_gradient, _scratch, _wideScratch, batch, time);
        }

        _positionEmbedding.Gradient.Clear(_positionEmbedding.Gradient.Value.Length);
        AddToEmbeddings(inputs, time);
    }

    private void Embed(ReadOnlySpan<int> inputs, int time)
    {
        int width = _config.Width;
        for (int row = 0; row < inputs.Length; row++)
        {
            (int token, int position) = (inputs[row] * width, row % time * width);
            Add(_tokenEmbedding.Data.Value, _positionEmbedding.Data.Value, _embedded.Value);
            Add(_tokenEmbedding.Data.Tangent, _positionEmbedding.Data.Tangent, _embedded.Tangent);

            void Add(float[] ofToken, float[] ofPosition, float[] sum) => TensorPrimitives.Add(
                ofToken.AsSpan(token, width), ofPosition.AsSpan(position, width), sum.AsSpan(row * width, width));
        }
    }

    /// <summary>Replaces logits by the gradient of the mean loss by them.</summary>
    private void DifferentiateLoss(ReadOnlySpan<int> targets)
    {
        int vocabulary = _config.VocabularySize;
        float share = 1f / targets.Length;
        for (int row = 0; row < targets.Length; row++)
        {
            Span<float> value = _logits.Value.AsSpan(row * vocabulary, vocabulary);
            Span<float> tangent = _logits.Tangent.AsSpan(row * vocabulary, vocabulary);
            VectorMath.Softmax(value, 1);
            VectorMath.SoftmaxGradient(value, tangent, share); // the Jacobian is symmetric
            value[targets[row]] -= 1;
            VectorMath.Scale(value, share);
        }
    }

    // The head has written its share of the token embedding's gradient; the lookup adds its own.
    private void AddToEmbeddings(ReadOnlySpan<int> inputs, int time)
    {
        int width = _config.Width;
        for (int row = 0; row < inputs.Length; row++)
        {
            (int token, int position) = (inputs[row] * width, row % time * width);
            Add(_gradient.Value, _tokenEmbedding.Gradient.Value, token);
            Add(_gradient.Tangent, _tokenEmbedding.Gradient.Tangent, token);
            Add(_gradient.Value, _positionEmbedding.Gradient.Value, position);
            Add(_gradient.Tangent, _positionEmbedding.Gradient.Tangent, position);

            void Add(float[] from, float[] sum, int at) =>
                TensorPrimitives.Add(sum.AsSpan(at, width), from.AsSpan(row * width, width), sum.AsSpan(at, width));
        }
    }
}
