namespace NativeOpt.Cli.Benchmarks;

/// <summary>
/// A loop over the elements of each tensor, with <see cref="MathF.Sqrt"/> and bias corrections by <see cref="Math.Pow"/>.
/// Its arithmetic is NativeOpt's, operation by operation.
/// </summary>
internal sealed class LoopPeer(BenchRule rule, BenchBuffers buffers) : Peer(rule, buffers)
{
    public const string PeerName = "loop";

    public override string Name => PeerName;

    protected override void StepSgd()
    {
        for (int tensor = 0; tensor < TensorCount; tensor++)
        {
            if (Formula == PeerFormula.SgdMomentum)
            {
                Sgd(Param[tensor], Grad[tensor], Momentum[tensor], (float)Options.LearningRate, (float)Options.Momentum);
            }
            else
            {
                Sgd(Param[tensor], Grad[tensor], (float)Options.LearningRate);
            }
        }
    }

    protected override void StepAdam()
    {
        double lr = Options.LearningRate / (1 - Math.Pow(Options.Beta1, StepCount));
        var moments = new Moments(
            (float)Options.Beta1,
            (float)(1 - Options.Beta1),
            (float)Options.Beta2,
            (float)(1 - Options.Beta2),
            (float)(1 / Math.Sqrt(1 - Math.Pow(Options.Beta2, StepCount))),
            (float)Options.Epsilon);
        for (int tensor = 0; tensor < TensorCount; tensor++)
        {
            Span<float> param = Param[tensor];
            ReadOnlySpan<float> grad = Grad[tensor];
            Span<float> expAvg = ExpAvg[tensor];
            Span<float> expAvgSq = ExpAvgSq[tensor];
            switch (Formula)
            {
                case PeerFormula.AdamAmsgrad:
                    Amsgrad(param, grad, expAvg, expAvgSq, MaxExpAvgSq[tensor], moments, (float)lr);
                    break;
                case PeerFormula.Adam:
                    Adam(param, grad, expAvg, expAvgSq, moments, (float)lr);
                    break;
                case PeerFormula.AdamW:
                    float decay = (float)(Options.LearningRate * Options.WeightDecay);
                    AdamW(param, grad, expAvg, expAvgSq, moments, (float)lr, decay);
                    break;
                case PeerFormula.InvAdam:
                    InvAdam(param, grad, expAvg, expAvgSq, moments, (float)lr);
                    break;
                case PeerFormula.DualAdam:
                    double a = Math.Max(0, 1 - (Options.SwitchingRate * StepCount));
                    DualAdam(param, grad, expAvg, expAvgSq, moments, (float)(lr * a), (float)(lr * (1 - a)));
                    break;
            }
        }
    }

    private static void Sgd(Span<float> param, ReadOnlySpan<float> grad, float lr)
    {
        for (int i = 0; i < param.Length; i++)
        {
            param[i] -= lr * grad[i];
        }
    }

    private static void Sgd(Span<float> param, ReadOnlySpan<float> grad, Span<float> buffer, float lr, float momentum)
    {
        for (int i = 0; i < param.Length; i++)
        {
            float b = (momentum * buffer[i]) + grad[i];
            buffer[i] = b;
            param[i] -= lr * b;
        }
    }

    private static void Adam(
        Span<float> param, ReadOnlySpan<float> grad, Span<float> expAvg, Span<float> expAvgSq, in Moments moments, float lr)
    {
        (float beta1, float oneMinusBeta1, float beta2, float oneMinusBeta2, float correction, float eps) = moments;
        for (int i = 0; i < param.Length; i++)
        {
            float g = grad[i];
            float m = (beta1 * expAvg[i]) + (oneMinusBeta1 * g);
            float v = (beta2 * expAvgSq[i]) + (oneMinusBeta2 * (g * g));
            expAvg[i] = m;
            expAvgSq[i] = v;
            param[i] -= lr * (m / ((MathF.Sqrt(v) * correction) + eps));
        }
    }

    private static void Amsgrad(
        Span<float> param,
        ReadOnlySpan<float> grad,
        Span<float> expAvg,
        Span<float> expAvgSq,
        Span<float> maxExpAvgSq,
        in Moments moments,
        float lr)
    {
        (float beta1, float oneMinusBeta1, float beta2, float oneMinusBeta2, float correction, float eps) = moments;
        for (int i = 0; i < param.Length; i++)
        {
            float g = grad[i];
            float m = (beta1 * expAvg[i]) + (oneMinusBeta1 * g);
            float v = (beta2 * expAvgSq[i]) + (oneMinusBeta2 * (g * g));
            float max = MathF.Max(maxExpAvgSq[i], v);
            expAvg[i] = m;
            expAvgSq[i] = v;
            maxExpAvgSq[i] = max;
            param[i] -= lr * (m / ((MathF.Sqrt(max) * correction) + eps));
        }
    }

    private static void AdamW(
        Span<float> param,
        ReadOnlySpan<float> grad,
        Span<float> expAvg,
        Span<float> expAvgSq,
        in Moments moments,
        float lr,
        float decay)
    {
        (float beta1, float oneMinusBeta1, float beta2, float oneMinusBeta2, float correction, float eps) = moments;
        for (int i = 0; i < param.Length; i++)
        {
            float g = grad[i];
            float m = (beta1 * expAvg[i]) + (oneMinusBeta1 * g);
            float v = (beta2 * expAvgSq[i]) + (oneMinusBeta2 * (g * g));
            expAvg[i] = m;
            expAvgSq[i] = v;
            param[i] -= (decay * param[i]) + (lr * (m / ((MathF.Sqrt(v) * correction) + eps)));
        }
    }

    private static void InvAdam(
        Span<float> param, ReadOnlySpan<float> grad, Span<float> expAvg, Span<float> expAvgSq, in Moments moments, float lr)
    {
        (float beta1, float oneMinusBeta1, float beta2, float oneMinusBeta2, float correction, _) = moments;
        for (int i = 0; i < param.Length; i++)
        {
            float g = grad[i];
            float m = (beta1 * expAvg[i]) + (oneMinusBeta1 * g);
            float v = (beta2 * expAvgSq[i]) + (oneMinusBeta2 * (g * g));
            expAvg[i] = m;
            expAvgSq[i] = v;
            param[i] -= lr * (m * (MathF.Sqrt(v) * correction));
        }
    }

    private static void DualAdam(
        Span<float> param,
        ReadOnlySpan<float> grad,
        Span<float> expAvg,
        Span<float> expAvgSq,
        in Moments moments,
        float inverseLr,
        float lr)
    {
        (float beta1, float oneMinusBeta1, float beta2, float oneMinusBeta2, float correction, float eps) = moments;
        for (int i = 0; i < param.Length; i++)
        {
            float g = grad[i];
            float m = (beta1 * expAvg[i]) + (oneMinusBeta1 * g);
            float v = (beta2 * expAvgSq[i]) + (oneMinusBeta2 * (g * g));
            expAvg[i] = m;
            expAvgSq[i] = v;
            float root = MathF.Sqrt(v) * correction;
            param[i] -= (inverseLr * (m * root)) + (lr * (m / (root + eps)));
        }
    }

    /// <summary>What the elements of a step share; the correction is of the root of the second moment.</summary>
    private readonly record struct Moments(
        float Beta1, float OneMinusBeta1, float Beta2, float OneMinusBeta2, float Correction, float Epsilon);
}
