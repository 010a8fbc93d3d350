using System.Numerics.Tensors;

namespace NativeOpt.Cli.Benchmarks;

/// <summary>
/// A step as a sequence of operations on whole tensors, in TorchSharp's order, by <see cref="TensorPrimitives"/>, each of
/// which is vectorised. Where that has no addcmul or addcdiv in one pass, there are two. The one temporary is allocated once
/// and serves all tensors; TorchSharp would allocate two for each tensor in each step.
/// </summary>
/// <remarks>
/// AdamW's decay multiplies the parameter, and DualAdam subtracts its two parts one after the other: there the last bits
/// differ from NativeOpt's.
/// </remarks>
internal sealed class UnfusedPeer(BenchRule rule, BenchBuffers buffers) : Peer(rule, buffers)
{
    public const string PeerName = "unfused";

    private readonly float[] _root =
        new float[PeerFormulas.Of(rule.Preset) is PeerFormula.Sgd or PeerFormula.SgdMomentum ? 0 : buffers.LargestCount];

    private readonly float[] _product =
        new float[PeerFormulas.Of(rule.Preset) == PeerFormula.DualAdam ? buffers.LargestCount : 0];

    public override string Name => PeerName;

    protected override void StepSgd()
    {
        float lr = (float)Options.LearningRate;
        for (int tensor = 0; tensor < TensorCount; tensor++)
        {
            ReadOnlySpan<float> direction = Grad[tensor];
            if (Formula == PeerFormula.SgdMomentum)
            {
                Span<float> buffer = Momentum[tensor];
                TensorPrimitives.Multiply(buffer, (float)Options.Momentum, buffer); // mul_
                TensorPrimitives.Add(buffer, direction, buffer); // add_
                direction = buffer;
            }

            TensorPrimitives.MultiplyAdd(direction, -lr, Param[tensor], Param[tensor]); // add_(alpha)
        }
    }

    protected override void StepAdam()
    {
        float eps = (float)Options.Epsilon;
        double lr = Options.LearningRate / (1 - Math.Pow(Options.Beta1, StepCount));
        float correction = (float)(1 / Math.Sqrt(1 - Math.Pow(Options.Beta2, StepCount)));
        for (int tensor = 0; tensor < TensorCount; tensor++)
        {
            Span<float> param = Param[tensor];
            ReadOnlySpan<float> grad = Grad[tensor];
            Span<float> m = ExpAvg[tensor];
            Span<float> v = ExpAvgSq[tensor];
            Span<float> root = _root.AsSpan(0, param.Length);
            if (Formula == PeerFormula.AdamW)
            {
                TensorPrimitives.Multiply(param, (float)(1 - (Options.LearningRate * Options.WeightDecay)), param); // mul_
            }

            TensorPrimitives.Multiply(m, (float)Options.Beta1, m); // mul_
            TensorPrimitives.MultiplyAdd(grad, (float)(1 - Options.Beta1), m, m); // add_(alpha)
            TensorPrimitives.Multiply(v, (float)Options.Beta2, v); // mul_
            TensorPrimitives.Multiply(grad, grad, root); // addcmul_
            TensorPrimitives.MultiplyAdd(root, (float)(1 - Options.Beta2), v, v);
            ReadOnlySpan<float> second = v;
            if (Formula == PeerFormula.AdamAmsgrad)
            {
                TensorPrimitives.Max(MaxExpAvgSq[tensor], v, MaxExpAvgSq[tensor]); // maximum(out)
                second = MaxExpAvgSq[tensor];
            }

            TensorPrimitives.Sqrt(second, root); // sqrt
            TensorPrimitives.Multiply(root, correction, root); // div
            switch (Formula)
            {
                case PeerFormula.InvAdam:
                    TensorPrimitives.Multiply(m, root, root); // addcmul_
                    TensorPrimitives.MultiplyAdd(root, (float)-lr, param, param);
                    break;
                case PeerFormula.DualAdam:
                    double a = Math.Max(0, 1 - (Options.SwitchingRate * StepCount));
                    Span<float> product = _product.AsSpan(0, param.Length);
                    TensorPrimitives.Multiply(m, root, product); // addcmul_
                    TensorPrimitives.MultiplyAdd(product, (float)(-lr * a), param, param);
                    AddQuotient(param, m, root, eps, (float)(-lr * (1 - a)));
                    break;
                default:
                    AddQuotient(param, m, root, eps, (float)-lr);
                    break;
            }
        }
    }

    private static void AddQuotient(Span<float> param, ReadOnlySpan<float> m, Span<float> root, float eps, float factor)
    {
        TensorPrimitives.Add(root, eps, root); // add_
        TensorPrimitives.Divide(m, root, root); // addcdiv_
        TensorPrimitives.MultiplyAdd(root, factor, param, param);
    }
}
