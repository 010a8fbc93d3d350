using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Classification;

/// <summary>
/// A multilayer perceptron: linear layers with GELU between them, and the cross entropy of the classes behind the last one. It runs on
/// the calling thread, since whole runs are done side by side.
/// </summary>
internal sealed class Mlp
{
    private readonly Elementwise _elementwise;
    private readonly Linear[] _layers;
    private readonly int[] _widths;
    private readonly float[][] _sums; // of each layer before GELU; the last one's are the logits, and then their gradients
    private readonly float[][] _activations; // what enters each layer; the first one's are the inputs
    private readonly float[][] _gradients; // of the activations behind the first

    /// <summary>Creates a model with random weights (He et al. 2015: of the variance 2 over the inputs) and biases of 0.</summary>
    /// <param name="inputs">The numbers of an image.</param>
    /// <param name="hidden">The width of each hidden layer.</param>
    /// <param name="classes">The number of classes.</param>
    /// <param name="rows">The largest number of images at a time.</param>
    /// <param name="seed">Selects the weights.</param>
    public Mlp(int inputs, IReadOnlyList<int> hidden, int classes, int rows, ulong seed)
    {
        var loop = new ParallelLoop { Threads = 1 };
        var matMul = new MatMul(loop);
        _elementwise = new Elementwise(loop);
        _widths = [inputs, .. hidden, classes];
        List<GptParameter> parameters = [];
        _layers = new Linear[_widths.Length - 1];
        for (int layer = 0; layer < _layers.Length; layer++)
        {
            GptParameter weight = new($"layers.{layer}.weight", _widths[layer + 1], _widths[layer]);
            GptParameter bias = new($"layers.{layer}.bias", _widths[layer + 1]);
            var random = new DeterministicRandom(seed, (ulong)layer);
            double deviation = Math.Sqrt(2.0 / _widths[layer]);
            foreach (ref float value in weight.Value.AsSpan())
            {
                value = (float)(deviation * random.NextNormal());
            }

            parameters.AddRange([weight, bias]);
            _layers[layer] = new Linear(matMul, _elementwise, weight, bias);
        }

        Parameters = parameters;
        _activations = [.. _widths.SkipLast(1).Select(width => new float[rows * width])];
        _sums = [.. _widths.Skip(1).Select(width => new float[rows * width])];
        _gradients = [[], .. _widths.Skip(1).SkipLast(1).Select(width => new float[rows * width])];
        Labels = new int[rows];
    }

    /// <summary>The weight and the bias of each layer.</summary>
    public IReadOnlyList<GptParameter> Parameters { get; }

    /// <summary>The images, row by row.</summary>
    public float[] Inputs => _activations[0];

    /// <summary>The class of each row.</summary>
    public int[] Labels { get; }

    /// <summary>Computes the gradients of the mean loss of the first rows.</summary>
    /// <returns>The mean loss.</returns>
    public double ForwardBackward(int rows)
    {
        double loss = Forward(rows).Loss;
        ToLogitGradients(rows);
        for (int layer = _layers.Length - 1; layer >= 0; layer--)
        {
            float[]? below = layer > 0 ? _gradients[layer] : null;
            _layers[layer].Backward(_activations[layer], layer == _layers.Length - 1 ? _sums[layer] : _gradients[layer + 1], below, rows);
            if (below is not null)
            {
                _elementwise.GeluBackward(_sums[layer - 1], below, rows * _widths[layer]);
            }
        }

        return loss / rows;
    }

    /// <summary>Computes the classes' probabilities of the first rows.</summary>
    /// <returns>The sum of the losses, and the number of rows whose class is the likeliest one.</returns>
    public (double Loss, int Correct) Forward(int rows)
    {
        for (int layer = 0; layer < _layers.Length; layer++)
        {
            _layers[layer].Forward(_activations[layer], _sums[layer], rows);
            if (layer < _layers.Length - 1)
            {
                _elementwise.Gelu(_sums[layer], _activations[layer + 1], rows * _widths[layer + 1]);
            }
        }

        double loss = 0;
        int correct = 0;
        for (int row = 0; row < rows; row++)
        {
            Span<float> logits = Logits(row);
            float own = logits[Labels[row]];
            correct += own >= VectorMath.Largest(logits) ? 1 : 0;
            loss += VectorMath.Softmax(logits, 1) - own;
        }

        return (loss, correct);
    }

    // From probabilities to the gradients of the mean loss.
    private void ToLogitGradients(int rows)
    {
        for (int row = 0; row < rows; row++)
        {
            Span<float> logits = Logits(row);
            logits[Labels[row]] -= 1;
            VectorMath.Scale(logits, 1f / rows);
        }
    }

    private Span<float> Logits(int row) => _sums[^1].AsSpan(row * _widths[^1], _widths[^1]);
}
