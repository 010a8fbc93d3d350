// ADOPT (Taniguchi et al. 2024, arXiv 2411.02853, the version with clipping): the gradient is normalised by the second
// moment from before it, and then averaged.
#pragma once

#include "numerics/functions.h"

namespace nopt {

struct Adopt : RuleDefaults {
    enum Hyperparam {
        kBeta1 = kFirstOwnHyperparam,
        kBeta2,
        kEps,
        kClipExponent
    };
    enum State {
        kExpAvg,
        kExpAvgSq
    };

    static constexpr const char* name = "adopt";
    static constexpr const char* source =
        "Taniguchi et al. 2024, \"ADOPT: modified Adam can converge with any beta2 with the optimal rate\", arXiv "
        "2411.02853, with clipping, as its authors' code (iShohei220/adopt) has it";
    static constexpr const char* equations =
        "in the first step v = g^2 and no more; then n = g / max(sqrt(v), eps), c = (t - 1)^clip_exponent, "
        "m = beta1 m + (1 - beta1) clip(n, -c, c), theta -= lr * m, v = beta2 v + (1 - beta2) g^2";
    static constexpr HyperparamInfo hyperparams[] = {
        lr_info(1e-3),
        weight_decay_info(0.0),
        {"beta1", 0.9, kDecayRate, "Decay rate of the normalised gradient's running average."},
        {"beta2", 0.9999, kDecayRate, "Decay rate of the second moment."},
        {"eps", 1e-6, kFloat, "The smallest denominator."},
        {"clip_exponent", 0.25, kCoefficient,
         "The power of the steps taken to which normalised gradients are clipped."}};
    static constexpr uint32_t common_flags = NOPT_FLAG_MAXIMIZE | NOPT_FLAG_DECOUPLED_WEIGHT_DECAY;
    static constexpr StateInfo states[] = {
        {"exp_avg", kSigned, kUpTo8Bits, "A running average m of the normalised gradient."},
        {"exp_avg_sq", kUnsigned, kUpTo8Bits, "Second moment v: a running average of the squared gradient."}};
    static constexpr uint32_t variants[] = {0b11};

    struct Scalars : CommonScalars {
        float lr;
        float beta1;
        float one_minus_beta1;
        float beta2;
        float one_minus_beta2;
        float eps;
        float clip;
        int32_t is_first;
    };

    NOPT_HD static void advance(const StepInput&, Clock&) {}

    NOPT_HD static Scalars scalars(const StepInput& step, const Clock& clock, double lr_scale, double weight_decay) {
        Scalars s;
        set_common(s, step, clock, lr_scale, weight_decay);
        s.lr = static_cast<float>(step.values[kLr] * lr_scale);
        s.beta1 = static_cast<float>(step.values[kBeta1]);
        s.one_minus_beta1 = static_cast<float>(1.0 - step.values[kBeta1]);
        s.beta2 = static_cast<float>(step.values[kBeta2]);
        s.one_minus_beta2 = static_cast<float>(1.0 - step.values[kBeta2]);
        s.eps = static_cast<float>(step.values[kEps]);
        s.clip = static_cast<float>(portable_pow(static_cast<double>(clock.step - 1), step.values[kClipExponent]));
        s.is_first = clock.step == 1;
        return s;
    }

    NOPT_HD static void update(Element& e, const Present&, const Scalars& s) {
        const float g = effective_grad(e, s);
        if (s.is_first) {
            e.state[kExpAvgSq] = g * g;
            return;
        }
        const float root = NOPT_SQRTF(e.state[kExpAvgSq]);
        float normalised = g / (root < s.eps ? s.eps : root);
        normalised = s.clip < normalised ? s.clip : normalised;
        normalised = -s.clip > normalised ? -s.clip : normalised;
        const float exp_avg = s.beta1 * e.state[kExpAvg] + s.one_minus_beta1 * normalised;
        e.state[kExpAvg] = exp_avg;
        e.state[kExpAvgSq] = s.beta2 * e.state[kExpAvgSq] + s.one_minus_beta2 * (g * g);
        e.param = apply_update(e.param, s.lr * exp_avg, s);
    }
};

}  // namespace nopt
