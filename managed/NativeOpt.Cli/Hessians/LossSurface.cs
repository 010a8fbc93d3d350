using System.Collections.Concurrent;
using System.Numerics.Tensors;
using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Hessians;

/// <summary>
/// The loss of a trained model on some windows of a text, as a function of its parameters, and the Hessian of that. A vector over all
/// parameters is one array, tensor after tensor. The windows are computed in parts of a fixed number, so that no result depends on
/// the number of threads.
/// </summary>
internal sealed class LossSurface : ISymmetricOperator
{
    /// <summary>The windows that are computed together.</summary>
    public const int PartWindows = 8;

    private readonly Gpt _model;
    private readonly float[] _solution;
    private readonly Part[] _parts;
    private readonly int _threads;
    private readonly ConcurrentBag<DualGpt> _duals = [];

    /// <param name="model">The model at the solution; it takes <see cref="PartWindows"/> sequences, and is this object's own.</param>
    /// <param name="inputs">The tokens of the windows.</param>
    /// <param name="targets">For each the token that follows it.</param>
    /// <param name="threads">The threads that compute.</param>
    public LossSurface(Gpt model, int[] inputs, int[] targets, int threads)
    {
        (_model, _threads) = (model, threads);
        model.Threads = threads;
        _solution = [.. model.Parameters.SelectMany(static parameter => parameter.Value)];
        int windows = inputs.Length / model.Config.ContextLength;
        _parts =
        [
            .. Enumerable.Range(0, windows).Chunk(PartWindows).Select(chunk => new Part(
                inputs.AsMemory(chunk[0] * model.Config.ContextLength, chunk.Length * model.Config.ContextLength),
                targets.AsMemory(chunk[0] * model.Config.ContextLength, chunk.Length * model.Config.ContextLength),
                chunk.Length,
                (double)chunk.Length / windows)),
        ];
    }

    /// <summary>The number of parameters.</summary>
    public int Dimension => _solution.Length;

    /// <summary>The parameters' values at the solution.</summary>
    public ReadOnlySpan<float> Solution => _solution;

    /// <summary>The tensors, in the order of vectors.</summary>
    public IReadOnlyList<GptParameter> Tensors => _model.Parameters;

    /// <summary>The loss at a distance from the solution along a direction.</summary>
    public double Loss(ReadOnlySpan<double> direction, double distance)
    {
        Move(direction, distance);
        double loss = _parts.Sum(part => part.Share * _model.Forward(part.Inputs.Span, part.Targets.Span, part.Windows));
        Move(direction, 0);
        return loss;
    }

    /// <summary>The length of the gradient at the solution.</summary>
    public double GradientNorm()
    {
        double[] gradient = new double[Dimension];
        Gradient([], 0, gradient);
        return TensorPrimitives.Norm<double>(gradient);
    }

    /// <summary>The Hessian at the solution times a vector, exact but for rounding to float32: see <see cref="DualGpt"/>.</summary>
    public void Multiply(ReadOnlySpan<double> vector, Span<double> product)
    {
        // Of unit length or thereabouts: the tangents are float32.
        double length = TensorPrimitives.Norm(vector);
        float[] direction = new float[vector.Length];
        for (int i = 0; i < direction.Length; i++)
        {
            direction[i] = length > 0 ? (float)(vector[i] / length) : 0;
        }

        float[][] products = new float[_parts.Length][];
        Parallel.For(
            0,
            _parts.Length,
            new ParallelOptions { MaxDegreeOfParallelism = _threads },
            () => Take(direction),
            (part, _, dual) =>
            {
                dual.ForwardBackward(_parts[part].Inputs.Span, _parts[part].Targets.Span, _parts[part].Windows);
                products[part] = [.. dual.Parameters.SelectMany(static parameter => parameter.Gradient.Tangent)];
                return dual;
            },
            _duals.Add);
        product.Clear();
        for (int part = 0; part < products.Length; part++)
        {
            double factor = length * _parts[part].Share;
            for (int i = 0; i < product.Length; i++)
            {
                product[i] += factor * products[part][i];
            }
        }
    }

    /// <summary>The same by the central difference of two gradients, as a check of it.</summary>
    /// <param name="vector">The vector.</param>
    /// <param name="product">Room for the product.</param>
    /// <param name="distance">Between the solution and each of the two points.</param>
    public void MultiplyByDifferences(ReadOnlySpan<double> vector, Span<double> product, double distance)
    {
        double length = TensorPrimitives.Norm(vector);
        double[] ahead = new double[vector.Length];
        Gradient(vector, distance / length, ahead);
        Gradient(vector, -distance / length, product);
        for (int i = 0; i < product.Length; i++)
        {
            product[i] = (ahead[i] - product[i]) * length / (2 * distance);
        }
    }

    private void Gradient(ReadOnlySpan<double> direction, double distance, Span<double> gradient)
    {
        Move(direction, distance);
        gradient.Clear();
        foreach (Part part in _parts)
        {
            _model.ForwardBackward(part.Inputs.Span, part.Targets.Span, part.Windows);
            int at = 0;
            foreach (GptParameter parameter in _model.Parameters)
            {
                foreach (float value in parameter.Gradient)
                {
                    gradient[at++] += part.Share * value;
                }
            }
        }

        Move(direction, 0);
    }

    private void Move(ReadOnlySpan<double> direction, double distance)
    {
        int at = 0;
        foreach (GptParameter parameter in _model.Parameters)
        {
            for (int i = 0; i < parameter.Value.Length; i++, at++)
            {
                parameter.Value[i] = distance == 0 ? _solution[at] : (float)(_solution[at] + (distance * direction[at]));
            }
        }
    }

    private DualGpt Take(float[] direction)
    {
        DualGpt dual = _duals.TryTake(out DualGpt? free) ? free : new DualGpt(_model, PartWindows);
        int at = 0;
        foreach (DualParameter parameter in dual.Parameters)
        {
            direction.AsSpan(at, parameter.Data.Tangent.Length).CopyTo(parameter.Data.Tangent);
            at += parameter.Data.Tangent.Length;
        }

        return dual;
    }

    /// <summary>Some windows and their share of all.</summary>
    private sealed record Part(ReadOnlyMemory<int> Inputs, ReadOnlyMemory<int> Targets, int Windows, double Share);
}
