namespace NativeOpt.Cli.Training;

/// <summary>
/// A small GPT: token and position embedding, pre-norm blocks, and a head tied to the token embedding. It stands for
/// "somebody's trainer": it computes losses and gradients into pinned arrays and knows nothing of optimizers.
/// </summary>
/// <remarks>
/// All memory is allocated by the constructor, so a training step allocates nothing. An instance serves one caller at
/// a time. Equal seeds give equal bits with any number of <see cref="Threads"/> on one machine.
/// </remarks>
internal sealed class Gpt
{
    private const int RowGrain = 8;
    private const int ColumnGrain = 16;

    private readonly ParallelLoop _loop = new();
    private readonly List<GptParameter> _parameters = [];
    private readonly GptParameter _tokenEmbedding;
    private readonly GptParameter _positionEmbedding;
    private readonly GptBlock[] _blocks;
    private readonly LayerNorm _finalNorm;
    private readonly Linear _head;

    private readonly int[] _inputs;
    private readonly int[] _targets;
    private readonly float[] _embedded;
    private readonly float[] _normed;
    private readonly float[] _logits;
    private readonly float[] _losses;
    private readonly float[] _gradient;
    private readonly float[] _scratch;
    private readonly float[] _wideScratch;

    private readonly RangeBody _embedRows;
    private readonly RangeBody _lossRows;
    private readonly RangeBody _tokenGradientColumns;
    private readonly RangeBody _positionGradientRows;
    private int _batch;
    private int _time;

    /// <summary>Creates a model with random weights.</summary>
    /// <param name="config">The shape.</param>
    /// <param name="maximumBatch">The most sequences of full context length that one call takes.</param>
    /// <param name="seed">Selects the weights.</param>
    public Gpt(GptConfig config, int maximumBatch, ulong seed)
    {
        config.Validate();
        ArgumentOutOfRangeException.ThrowIfLessThan(maximumBatch, 1);
        Config = config;
        MaximumBatch = maximumBatch;

        int width = config.Width;
        int rows = checked(maximumBatch * config.ContextLength);
        var matMul = new MatMul(_loop);
        var elementwise = new Elementwise(_loop);
        _tokenEmbedding = Create("wte", config.VocabularySize, width);
        _positionEmbedding = Create("wpe", config.ContextLength, width);
        _blocks = new GptBlock[config.Layers];
        for (int i = 0; i < _blocks.Length; i++)
        {
            _blocks[i] = new GptBlock(_loop, matMul, elementwise, config, maximumBatch, i, _parameters);
        }

        _finalNorm = new LayerNorm(_loop, Create("ln_f.weight", width), Create("ln_f.bias", width), rows);
        _head = new Linear(matMul, elementwise, _tokenEmbedding, bias: null);

        _inputs = new int[rows];
        _targets = new int[rows];
        _embedded = new float[rows * width];
        _normed = new float[rows * width];
        _logits = new float[checked(rows * config.VocabularySize)];
        _losses = new float[rows];
        _gradient = new float[rows * width];
        _scratch = new float[rows * width];
        _wideScratch = new float[checked(rows * 4 * width)];
        (_embedRows, _lossRows) = (EmbedRows, LossRows);
        (_tokenGradientColumns, _positionGradientRows) = (TokenGradientColumns, PositionGradientRows);
        Initialise(seed);

        GptParameter Create(string name, params int[] shape)
        {
            var parameter = new GptParameter(name, shape);
            _parameters.Add(parameter);
            return parameter;
        }
    }

    /// <summary>The shape of the model.</summary>
    public GptConfig Config { get; }

    /// <summary>The most sequences of full context length that one call takes.</summary>
    public int MaximumBatch { get; }

    /// <summary>All tensors that training changes, in the order of the forward pass.</summary>
    public IReadOnlyList<GptParameter> Parameters => _parameters;

    /// <summary>How many numbers training changes.</summary>
    public long ParameterCount => _parameters.Sum(static parameter => (long)parameter.Value.Length);

    /// <summary>How many threads compute; by default all cores. It never changes a result.</summary>
    public int Threads
    {
        get => _loop.Threads;
        set => _loop.Threads = value;
    }

    /// <summary>The mean cross entropy in nats of predicting <paramref name="targets"/> from
    /// <paramref name="inputs"/>.</summary>
    /// <param name="inputs">The tokens of <paramref name="batch"/> sequences of equal length, in turn.</param>
    /// <param name="targets">For each input the token that follows it.</param>
    /// <param name="batch">Number of sequences.</param>
    public float Forward(ReadOnlySpan<int> inputs, ReadOnlySpan<int> targets, int batch)
    {
        Load(inputs, batch);
        Load(targets);
        ForwardToNorm();
        return Loss();
    }

    /// <summary>The same loss; and overwrites every <see cref="GptParameter.Gradient"/> with its gradient.</summary>
    public float ForwardBackward(ReadOnlySpan<int> inputs, ReadOnlySpan<int> targets, int batch)
    {
        float loss = Forward(inputs, targets, batch);
        int rows = _batch * _time;

        // Loss() left the gradient of the logits in their place.
        _head.Backward(_normed, _logits, _scratch, rows);
        Array.Clear(_gradient, 0, rows * Config.Width);
        _finalNorm.Backward(_blocks[^1].Output, _scratch, _gradient, rows);
        for (int i = _blocks.Length - 1; i >= 0; i--)
        {
            float[] input = i == 0 ? _embedded : _blocks[i - 1].Output;
            _blocks[i].Backward(input, _gradient, _scratch, _wideScratch, _batch, _time);
        }

        // The token embedding is used twice: the head has written its share, the lookup adds its own.
        _loop.Run(Config.Width, ColumnGrain, _tokenGradientColumns);
        _loop.Run(Config.ContextLength, RowGrain, _positionGradientRows);
        return loss;
    }

    /// <summary>Draws for each input the token that follows it, as the model expects it to.</summary>
    /// <param name="inputs">The tokens of <paramref name="batch"/> sequences of equal length, in turn.</param>
    /// <param name="batch">Number of sequences.</param>
    /// <param name="random">Where the draws come from.</param>
    /// <param name="targets">Receives the tokens.</param>
    public void DrawTargets(ReadOnlySpan<int> inputs, int batch, DeterministicRandom random, Span<int> targets)
    {
        Load(inputs, batch);
        ForwardToNorm();
        for (int row = 0; row < targets.Length; row++)
        {
            targets[row] = Draw(_normed.AsSpan(row * Config.Width, Config.Width), temperature: 1, random);
        }
    }

    /// <summary>Makes this model's parameters equal to those of another one of the same shape.</summary>
    public void CopyParametersFrom(Gpt other)
    {
        if (other.Config != Config)
        {
            throw new ArgumentException($"The models differ in shape: {other.Config} and {Config}.", nameof(other));
        }

        for (int i = 0; i < _parameters.Count; i++)
        {
            other._parameters[i].Value.CopyTo(_parameters[i].Value, 0);
        }
    }

    /// <summary>Continues a text, one token after another, each drawn from what the model expects.</summary>
    /// <param name="prompt">The tokens to continue, at least one.</param>
    /// <param name="count">How many tokens to draw.</param>
    /// <param name="temperature">Below 1 prefers likely tokens, 0 always takes the likeliest.</param>
    /// <param name="seed">Selects the draws.</param>
    /// <returns>The new tokens, without the prompt.</returns>
    public int[] Generate(ReadOnlySpan<int> prompt, int count, float temperature, ulong seed)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 0);
        if (prompt.IsEmpty)
        {
            throw new ArgumentException("The prompt needs at least one token.", nameof(prompt));
        }

        if (!(temperature >= 0) || !float.IsFinite(temperature))
        {
            throw new ArgumentOutOfRangeException(nameof(temperature), temperature, "Must be finite and at least 0.");
        }

        var random = new DeterministicRandom(seed);
        int[] tokens = [.. prompt, .. new int[count]];
        for (int length = prompt.Length; length < tokens.Length; length++)
        {
            // Everything is computed again for each token. Keys and values could be kept instead; for a model of this
            // size that is not worth a second way through the network.
            int seen = Math.Min(length, Config.ContextLength);
            Load(tokens.AsSpan(length - seen, seen), batch: 1);
            ForwardToNorm();
            tokens[length] = Draw(_normed.AsSpan((seen - 1) * Config.Width, Config.Width), temperature, random);
        }

        return tokens[prompt.Length..];
    }

    /// <summary>Continues a text by <paramref name="length"/> characters; see <see cref="Generate"/>.</summary>
    public string Sample(
        CharTokenizer tokenizer, string prompt, int length, float temperature = 0.8f, ulong seed = 0) =>
        tokenizer.Decode(Generate(tokenizer.Encode(prompt), length, temperature, seed));

    private void Initialise(ulong seed)
    {
        // As GPT-2: what is added to the residual stream shrinks with the number of additions.
        double residualScale = 1 / Math.Sqrt(2.0 * Config.Layers);
        for (int i = 0; i < _parameters.Count; i++)
        {
            GptParameter parameter = _parameters[i];
            if (parameter.IsMatrix)
            {
                bool residual = parameter.Name.EndsWith(".c_proj.weight", StringComparison.Ordinal);
                double deviation = residual ? 0.02 * residualScale : 0.02;
                var random = new DeterministicRandom(seed, (ulong)i);
                foreach (ref float value in parameter.Value.AsSpan())
                {
                    value = (float)(deviation * random.NextNormal());
                }
            }
            else if (parameter.Name.Contains("ln_", StringComparison.Ordinal)
                && parameter.Name.EndsWith(".weight", StringComparison.Ordinal))
            {
                Array.Fill(parameter.Value, 1f);
            }
        }
    }

    private void Load(ReadOnlySpan<int> inputs, int batch)
    {
        if (batch < 1 || inputs.Length == 0 || inputs.Length % batch != 0
            || inputs.Length / batch > Config.ContextLength || inputs.Length > _inputs.Length)
        {
            throw new ArgumentException(
                $"{inputs.Length} tokens are not {batch} sequences of equal length for a context of "
                + $"{Config.ContextLength} and at most {MaximumBatch} sequences.");
        }

        CheckTokens(inputs);
        inputs.CopyTo(_inputs);
        (_batch, _time) = (batch, inputs.Length / batch);
    }

    private void Load(ReadOnlySpan<int> targets)
    {
        if (targets.Length != _batch * _time)
        {
            throw new ArgumentException($"{_batch * _time} inputs have {targets.Length} targets.");
        }

        CheckTokens(targets);
        targets.CopyTo(_targets);
    }

    private void CheckTokens(ReadOnlySpan<int> tokens)
    {
        foreach (int token in tokens)
        {
            if ((uint)token >= (uint)Config.VocabularySize)
            {
                throw new ArgumentException($"Token {token} is outside a vocabulary of {Config.VocabularySize}.");
            }
        }
    }

    private void ForwardToNorm()
    {
        int rows = _batch * _time;
        _loop.Run(rows, RowGrain, _embedRows);
        float[] x = _embedded;
        foreach (GptBlock block in _blocks)
        {
            block.Forward(x, _batch, _time);
            x = block.Output;
        }

        _finalNorm.Forward(x, _normed, rows);
    }

    private float Loss()
    {
        int rows = _batch * _time;
        _head.Forward(_normed, _logits, rows);
        _loop.Run(rows, RowGrain, _lossRows);
        double sum = 0;
        for (int row = 0; row < rows; row++)
        {
            sum += _losses[row];
        }

        return (float)(sum / rows);
    }

    private void EmbedRows(int begin, int end, int worker)
    {
        int width = Config.Width;
        for (int row = begin; row < end; row++)
        {
            VectorMath.Add(
                _tokenEmbedding.Value.AsSpan(_inputs[row] * width, width),
                _positionEmbedding.Value.AsSpan(row % _time * width, width),
                _embedded.AsSpan(row * width, width));
        }
    }

    /// <summary>Computes the loss of rows and replaces their logits by the gradient of the mean loss.</summary>
    private void LossRows(int begin, int end, int worker)
    {
        float share = 1f / (_batch * _time);
        for (int row = begin; row < end; row++)
        {
            Span<float> logits = _logits.AsSpan(row * Config.VocabularySize, Config.VocabularySize);
            int target = _targets[row];
            float logit = logits[target];
            _losses[row] = VectorMath.Softmax(logits, 1) - logit;
            logits[target] -= 1;
            VectorMath.Scale(logits, share);
        }
    }

    // Positions that hold the same token add to the same row. A thread owns columns of all rows, so they add in order.
    private void TokenGradientColumns(int begin, int end, int worker)
    {
        int width = Config.Width;
        for (int row = 0; row < _batch * _time; row++)
        {
            Span<float> target = _tokenEmbedding.Gradient.AsSpan((_inputs[row] * width) + begin, end - begin);
            VectorMath.Add(target, _gradient.AsSpan((row * width) + begin, end - begin), target);
        }
    }

    private void PositionGradientRows(int begin, int end, int worker)
    {
        int width = Config.Width;
        for (int position = begin; position < end; position++)
        {
            Span<float> target = _positionEmbedding.Gradient.AsSpan(position * width, width);
            target.Clear();
            for (int row = position; position < _time && row < _batch * _time; row += _time)
            {
                VectorMath.Add(target, _gradient.AsSpan(row * width, width), target);
            }
        }
    }

    private int Draw(ReadOnlySpan<float> normed, float temperature, DeterministicRandom random)
    {
        int width = Config.Width;
        Span<float> scores = _logits.AsSpan(0, Config.VocabularySize);
        int likeliest = 0;
        for (int token = 0; token < scores.Length; token++)
        {
            scores[token] = VectorMath.Dot(normed, _tokenEmbedding.Value.AsSpan(token * width, width));
            likeliest = scores[token] > scores[likeliest] ? token : likeliest;
        }

        if (temperature == 0)
        {
            return likeliest;
        }

        VectorMath.Softmax(scores, 1 / temperature);
        double rest = random.NextDouble();
        for (int token = 0; token < scores.Length; token++)
        {
            rest -= scores[token];
            if (rest < 0)
            {
                return token;
            }
        }

        return likeliest; // Rounding left a sum just below 1.
    }
}
