using System.Numerics.Tensors;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Hessians;

/// <summary>A <see cref="CausalAttention"/> of dual numbers, one head after the other.</summary>
internal sealed class DualAttention
{
    private readonly DualMatMul _matMul;
    private readonly GptConfig _config;
    private readonly float _scale;
    private readonly DualArray _probabilities;
    private readonly DualArray _scoreGradient;
    private readonly float[] _row;

    /// <param name="matMul">The products.</param>
    /// <param name="config">The shape of the model.</param>
    /// <param name="maximumBatch">The most sequences of one call.</param>
    public DualAttention(DualMatMul matMul, GptConfig config, int maximumBatch)
    {
        (_matMul, _config) = (matMul, config);
        _scale = 1 / MathF.Sqrt(config.HeadWidth);
        int scores = config.ContextLength * config.ContextLength;
        _probabilities = new DualArray(maximumBatch * config.Heads * scores);
        _scoreGradient = new DualArray(scores);
        _row = new float[config.ContextLength];
    }

    /// <summary>Computes the mixed values. A row of <paramref name="qkv"/> is query, key and value of all heads.</summary>
    public void Forward(DualArray qkv, DualArray output, int batch, int time)
    {
        for (int job = 0; job < batch * _config.Heads; job++)
        {
            DualMatrix p = Probabilities(job, time);
            _matMul.Multiply(Part(qkv, job, 0, time), Part(qkv, job, 1, time).Transposed, p);
            for (int row = 0; row < time; row++)
            {
                int seen = row + 1; // A position sees itself and what came before.
                Span<float> value = _probabilities.Value.AsSpan(p.Value.At(row, 0), time);
                Span<float> tangent = _probabilities.Tangent.AsSpan(p.Value.At(row, 0), time);
                VectorMath.Softmax(value[..seen], _scale);
                VectorMath.SoftmaxGradient(value[..seen], tangent[..seen], _scale); // the Jacobian is symmetric
                value[seen..].Clear();
                tangent[seen..].Clear();
            }

            _matMul.Multiply(p, Part(qkv, job, 2, time), Head(output, job, time));
        }
    }

    /// <summary>Computes the gradient of <paramref name="qkv"/> from that of the output.</summary>
    public void Backward(DualArray qkv, DualArray dOutput, DualArray dQkv, int batch, int time)
    {
        var dScores = new DualMatrix(_scoreGradient, time, time);
        for (int job = 0; job < batch * _config.Heads; job++)
        {
            DualMatrix p = Probabilities(job, time);
            DualMatrix dHead = Head(dOutput, job, time);
            _matMul.Multiply(p.Transposed, dHead, Part(dQkv, job, 2, time));
            _matMul.Multiply(dHead, Part(qkv, job, 2, time).Transposed, dScores);
            for (int row = 0; row < time; row++)
            {
                Range own = p.Value.At(row, 0)..(p.Value.At(row, 0) + time);
                BackwardSoftmax(
                    _probabilities.Value.AsSpan(own), _probabilities.Tangent.AsSpan(own), _scoreGradient.Value.AsSpan(row * time, time),
                    _scoreGradient.Tangent.AsSpan(row * time, time));
            }

            _matMul.Multiply(dScores, Part(qkv, job, 1, time), Part(dQkv, job, 0, time));
            _matMul.Multiply(dScores.Transposed, Part(qkv, job, 0, time), Part(dQkv, job, 1, time));
        }
    }

    // In place: ds = scale·p·(dp − m) with m = Σ p·dp; ds′ = scale·(p′·(dp − m) + p·(dp′ − m′)) with m′ = Σ (p′·dp + p·dp′).
    private void BackwardSoftmax(
        ReadOnlySpan<float> p, ReadOnlySpan<float> pTangent, Span<float> dp, Span<float> dpTangent)
    {
        float mean = TensorPrimitives.Dot(p, dp);
        float meanTangent = TensorPrimitives.Dot(pTangent, dp) + TensorPrimitives.Dot(p, dpTangent);
        Span<float> term = _row.AsSpan(0, p.Length);
        TensorPrimitives.Subtract(dp, mean, dp);
        TensorPrimitives.Multiply(pTangent, dp, term);
        TensorPrimitives.Subtract(dpTangent, meanTangent, dpTangent);
        TensorPrimitives.MultiplyAdd(p, dpTangent, term, dpTangent);
        TensorPrimitives.Multiply(dpTangent, _scale, dpTangent);
        TensorPrimitives.Multiply(dp, p, dp);
        TensorPrimitives.Multiply(dp, _scale, dp);
    }

    private DualMatrix Probabilities(int job, int time) => new(_probabilities, job * time * time, time, time, time);

    /// <summary>The columns of one head, for all positions of its sequence.</summary>
    private DualMatrix Head(DualArray data, int job, int time)
    {
        (int sequence, int head) = Math.DivRem(job, _config.Heads);
        int offset = (sequence * time * _config.Width) + (head * _config.HeadWidth);
        return new DualMatrix(data, offset, time, _config.HeadWidth, _config.Width);
    }

    /// <summary>The query (0), key (1) or value (2) of one head.</summary>
    private DualMatrix Part(DualArray data, int job, int part, int time)
    {
        (int sequence, int head) = Math.DivRem(job, _config.Heads);
        int offset = (((sequence * time * 3) + part) * _config.Width) + (head * _config.HeadWidth);
        return new DualMatrix(data, offset, time, _config.HeadWidth, 3 * _config.Width);
    }
}
