using NativeOpt.Cli.Training;

namespace NativeOpt.Cli.Saddles;

/// <summary>
/// A published way to leave saddle points that is no dimer: before each step of a rule it changes the parameters, the
/// gradient that the rule sees, or both.
/// </summary>
internal abstract class SaddleBaseline
{
    /// <summary>
    /// What a function value costs in gradients: backpropagation takes twice the arithmetic of the forward pass on top of it.
    /// </summary>
    public const double CostOfLoss = 1.0 / 3;

    /// <summary>Prepares a step; the gradient at the parameters is there.</summary>
    /// <param name="parameters">The parameters and their gradient.</param>
    /// <param name="step">The number of the step, from 0.</param>
    /// <param name="left">The gradients that the run may use beside that one.</param>
    /// <returns>The gradients that it used beside that one.</returns>
    public abstract double Prepare(SaddleParameters parameters, long step, double left);
}

/// <summary>
/// Perturbed gradient descent (Jin et al. 2017, "How to escape saddle points efficiently", Algorithm 2): where the gradient
/// is small and the last perturbation is long ago, the parameters jump to a random point of a ball around them. The paper
/// has the three constants from Lipschitz constants of the loss, which a trainer does not know.
/// </summary>
internal sealed class PerturbedDescent(ulong seed) : SaddleBaseline
{
    public const double Radius = 1e-2;
    public const double SmallGradient = 1e-2;
    public const long Pause = 50;

    private readonly DeterministicRandom _random = new(seed, 1);
    private long _last = -Pause - 1;

    public override double Prepare(SaddleParameters parameters, long step, double left)
    {
        if (parameters.GradientNorm > SmallGradient || step - _last <= Pause)
        {
            return 0;
        }

        _last = step;
        double[] jump = RandomVectors.Unit(_random, parameters.Point.Length);
        double length = Radius * Math.Pow(_random.NextDouble(), 1.0 / jump.Length); // uniform in the ball
        double[] point = [.. parameters.Point];
        Dense.Add(length, jump, point);
        parameters.Write(point);
        parameters.Evaluate();
        return 1;
    }
}

/// <summary>
/// Sharpness-aware minimization (Foret et al. 2021): the rule steps by the gradient at θ + ρ g/|g|, a displacement up along
/// the gradient, as a dimer displaces along its direction.
/// </summary>
internal sealed class SharpnessAware : SaddleBaseline
{
    public const double Radius = 0.05;

    public override double Prepare(SaddleParameters parameters, long step, double left)
    {
        double norm = parameters.GradientNorm;
        if (!(norm > 0))
        {
            return 0;
        }

        double[] theta = [.. parameters.Point];
        double[] displaced = [.. theta];
        Dense.Add(Radius / norm, parameters.Gradient, displaced);
        parameters.Write(displaced);
        parameters.Evaluate();
        parameters.Write(theta);
        return 1;
    }
}

/// <summary>
/// Zeroth-order negative-curvature finding (Zhang, Xiong and Gu 2022, arXiv 2210.01496): where the gradient is small, a
/// power iteration looks for a direction of negative curvature, with products of the Hessian and a vector from function
/// values alone, four for each coordinate; then the parameters go a step along it, to a side at random. The rule's own steps
/// have true gradients, which that paper estimates, too.
/// </summary>
internal sealed class ZerothOrderCurvature(ulong seed) : SaddleBaseline
{
    public const double SmallGradient = 1e-2;
    public const double Stride = 0.1;
    public const double EnoughCurvature = -0.1;
    public const int Iterations = 50;

    private const double IterationRate = 0.1;
    private const double Displacement = 1e-3;

    private readonly DeterministicRandom _random = new(seed, 2);
    private bool _isDone;

    public override double Prepare(SaddleParameters parameters, long step, double left)
    {
        if (_isDone || parameters.GradientNorm > SmallGradient)
        {
            return 0;
        }

        // A search that finds nothing is not made again: it would find nothing again.
        _isDone = true;
        double[] theta = [.. parameters.Point];
        double[] direction = RandomVectors.Unit(_random, theta.Length);
        double costOfProduct = 4 * theta.Length * CostOfLoss;
        double used = 0;
        for (int i = 0; i < Iterations; i++)
        {
            used += costOfProduct;
            if (used > left)
            {
                return used;
            }

            double[] product = Product(parameters, theta, direction);
            if (Dense.Dot(direction, product) <= EnoughCurvature)
            {
                Dense.Add(_random.NextInt32(2) == 0 ? Stride : -Stride, direction, theta);
                break;
            }

            Dense.Add(-IterationRate, product, direction);
            RandomVectors.Normalize(direction);
        }

        parameters.Write(theta);
        parameters.Evaluate();
        return used + 1;
    }

    /// <summary>The Hessian times a vector: of each coordinate a second difference of the loss.</summary>
    private static double[] Product(SaddleParameters parameters, double[] theta, double[] direction)
    {
        double[] plus = [.. theta];
        double[] minus = [.. theta];
        Dense.Add(Displacement, direction, plus);
        Dense.Add(-Displacement, direction, minus);
        double[] product = new double[theta.Length];
        for (int i = 0; i < product.Length; i++)
        {
            product[i] = (Slope(plus, i) - Slope(minus, i)) / (2 * Displacement);
        }

        return product;

        double Slope(double[] point, int i)
        {
            double own = point[i];
            point[i] = own + Displacement;
            double up = parameters.LossAt(point);
            point[i] = own - Displacement;
            double down = parameters.LossAt(point);
            point[i] = own;
            return (up - down) / (2 * Displacement);
        }
    }
}
