namespace NativeOpt.Cli.Training;

/// <summary>
/// Causal multi-head attention between the projections: from queries, keys and values to the mixed values. Every head
/// of every sequence is a job of its own, a handful of small matrix products on views of the wide activations.
/// </summary>
internal sealed class CausalAttention
{
    private readonly ParallelLoop _loop;
    private readonly GptConfig _config;
    private readonly float _scale;
    private readonly float[] _probabilities;
    private readonly RangeBody _forwardHeads;
    private readonly RangeBody _backwardHeads;
    private Scratch[] _scratch = [];
    private float[] _qkv = [];
    private float[] _output = [];
    private float[] _dQkv = [];
    private float[] _dOutput = [];
    private int _time;

    /// <summary>Creates attention for at most <paramref name="maximumBatch"/> sequences.</summary>
    public CausalAttention(ParallelLoop loop, GptConfig config, int maximumBatch)
    {
        (_loop, _config) = (loop, config);
        _scale = 1 / MathF.Sqrt(config.HeadWidth);
        _probabilities = new float[maximumBatch * config.Heads * config.ContextLength * config.ContextLength];
        (_forwardHeads, _backwardHeads) = (ForwardHeads, BackwardHeads);
    }

    /// <summary>Computes the mixed values. A row of <paramref name="qkv"/> is query, key and value of all heads, three
    /// times the width.</summary>
    public void Forward(float[] qkv, float[] output, int batch, int time)
    {
        EnsureScratch();
        (_qkv, _output, _time) = (qkv, output, time);
        _loop.Run(batch * _config.Heads, 1, _forwardHeads);
    }

    /// <summary>Computes the gradient of <paramref name="qkv"/> from that of the output.</summary>
    public void Backward(float[] qkv, float[] dOutput, float[] dQkv, int batch, int time)
    {
        EnsureScratch();
        (_qkv, _dOutput, _dQkv, _time) = (qkv, dOutput, dQkv, time);
        _loop.Run(batch * _config.Heads, 1, _backwardHeads);
    }

    private void ForwardHeads(int begin, int end, int worker)
    {
        MatMul.Workspace workspace = _scratch[worker].Workspace;
        for (int job = begin; job < end; job++)
        {
            Matrix p = Probabilities(job);
            MatMul.Multiply(Part(_qkv, job, 0), Part(_qkv, job, 1).Transposed, p, workspace);
            for (int row = 0; row < _time; row++)
            {
                // A position sees itself and what came before.
                Span<float> scores = p.Data.AsSpan(p.At(row, 0), _time);
                VectorMath.Softmax(scores[..(row + 1)], _scale);
                scores[(row + 1)..].Clear();
            }

            MatMul.Multiply(p, Part(_qkv, job, 2), Head(_output, job), workspace);
        }
    }

    private void BackwardHeads(int begin, int end, int worker)
    {
        MatMul.Workspace workspace = _scratch[worker].Workspace;
        var dScores = new Matrix(_scratch[worker].ScoreGradient, _time, _time);
        for (int job = begin; job < end; job++)
        {
            Matrix p = Probabilities(job);
            Matrix dOutput = Head(_dOutput, job);
            MatMul.Multiply(p.Transposed, dOutput, Part(_dQkv, job, 2), workspace);
            MatMul.Multiply(dOutput, Part(_qkv, job, 2).Transposed, dScores, workspace);
            for (int row = 0; row < _time; row++)
            {
                // Where the probability is 0, so is the gradient of the score: the mask needs no second thought.
                VectorMath.SoftmaxGradient(
                    p.Data.AsSpan(p.At(row, 0), _time), dScores.Data.AsSpan(dScores.At(row, 0), _time), _scale);
            }

            MatMul.Multiply(dScores, Part(_qkv, job, 1), Part(_dQkv, job, 0), workspace);
            MatMul.Multiply(dScores.Transposed, Part(_qkv, job, 0), Part(_dQkv, job, 1), workspace);
        }
    }

    private Matrix Probabilities(int job) => new(_probabilities, job * _time * _time, _time, _time, _time, 1);

    /// <summary>The columns of one head, for all positions of its sequence.</summary>
    private Matrix Head(float[] data, int job)
    {
        int sequence = job / _config.Heads;
        int head = job % _config.Heads;
        int offset = (sequence * _time * _config.Width) + (head * _config.HeadWidth);
        return new Matrix(data, offset, _time, _config.HeadWidth, _config.Width, 1);
    }

    /// <summary>The query (0), key (1) or value (2) of one head.</summary>
    private Matrix Part(float[] data, int job, int part)
    {
        int sequence = job / _config.Heads;
        int head = job % _config.Heads;
        int offset = (((sequence * _time * 3) + part) * _config.Width) + (head * _config.HeadWidth);
        return new Matrix(data, offset, _time, _config.HeadWidth, 3 * _config.Width, 1);
    }

    private void EnsureScratch()
    {
        if (_scratch.Length < _loop.Threads)
        {
            _scratch = new Scratch[_loop.Threads];
            for (int i = 0; i < _scratch.Length; i++)
            {
                _scratch[i] = new Scratch(_config.ContextLength);
            }
        }
    }

    /// <summary>What one thread works in.</summary>
    private sealed class Scratch(int context)
    {
        public MatMul.Workspace Workspace { get; } = new();

        public float[] ScoreGradient { get; } = new float[context * context];
    }
}
