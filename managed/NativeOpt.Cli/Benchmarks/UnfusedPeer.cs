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

    private readonly float[] _root = new float[rule.Options is SgdOptions ? 0 : buffers.LargestCount];
    private readonly float[] _product = new float[rule.Options is DualAdamOptions ? buffers.LargestCount : 0];

    public override string Name => PeerName;

    protected override void Step(SgdOptions options)
    {
        float lr = (float)options.LearningRate;
        for (int tensor = 0; tensor < TensorCount; tensor++)
        {
            ReadOnlySpan<float> direction = Grad[tensor];
            if (options.Momentum > 0)
            {
                Span<float> buffer = Momentum[tensor];
                TensorPrimitives.Multiply(buffer, (float)options.Momentum, buffer); // mul_
                TensorPrimitives.Add(buffer, direction, buffer); // add_
                direction = buffer;
            }

            TensorPrimitives.MultiplyAdd(direction, -lr, Param[tensor], Param[tensor]); // add_(alpha)
        }
    }

    protected override void Step(AdamFamilyOptions options)
    {
        float eps = (float)options.Epsilon;
        double lr = options.LearningRate / (1 - Math.Pow(options.Beta1, StepCount));
        float correction = (float)(1 / Math.Sqrt(1 - Math.Pow(options.Beta2, StepCount)));
        for (int tensor = 0; tensor < TensorCount; tensor++)
        {
            Span<float> param = Param[tensor];
            ReadOnlySpan<float> grad = Grad[tensor];
            Span<float> m = ExpAvg[tensor];
            Span<float> v = ExpAvgSq[tensor];
            Span<float> root = _root.AsSpan(0, param.Length);
            if (options is AdamWOptions)
            {
                TensorPrimitives.Multiply(param, (float)(1 - (options.LearningRate * options.WeightDecay)), param); // mul_
            }

            TensorPrimitives.Multiply(m, (float)options.Beta1, m); // mul_
            TensorPrimitives.MultiplyAdd(grad, (float)(1 - options.Beta1), m, m); // add_(alpha)
            TensorPrimitives.Multiply(v, (float)options.Beta2, v); // mul_
            TensorPrimitives.Multiply(grad, grad, root); // addcmul_
            TensorPrimitives.MultiplyAdd(root, (float)(1 - options.Beta2), v, v);
            ReadOnlySpan<float> second = v;
            if (options.Amsgrad)
            {
                TensorPrimitives.Max(MaxExpAvgSq[tensor], v, MaxExpAvgSq[tensor]); // maximum(out)
                second = MaxExpAvgSq[tensor];
            }

            TensorPrimitives.Sqrt(second, root); // sqrt
            TensorPrimitives.Multiply(root, correction, root); // div
            switch (options)
            {
                case InvAdamOptions:
                    TensorPrimitives.Multiply(m, root, root); // addcmul_
                    TensorPrimitives.MultiplyAdd(root, (float)-lr, param, param);
                    break;
                case DualAdamOptions dual:
                    double a = Math.Max(0, 1 - (dual.SwitchingRate * StepCount));
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
