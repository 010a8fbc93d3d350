// Sophia (Liu et al. 2023, arXiv 2305.14342, algorithm 3): clipped steps, preconditioned by an estimate of the
// Hessian's diagonal that the host gives every few steps.
#pragma once

#include "rules/rule.h"

namespace nopt {

struct Sophia : RuleDefaults {
    enum Hyperparam {
        kBeta1 = kFirstOwnHyperparam,
        kBeta2,
        kGamma,
        kEps
    };
    enum State {
        kExpAvg,
        kHessianAvg
    };
    enum Input {
        kHessian
    };

    static constexpr const char* name = "sophia";
    static constexpr const char* source =
        "Liu et al. 2023, \"Sophia: a scalable stochastic second-order optimizer for language model pre-training\", "
        "arXiv "
        "2305.14342, algorithm 3";
    static constexpr const char* equations =
        "m = beta1 m + (1 - beta1) g; in a step with a Hessian diagonal H: h = beta2 h + (1 - beta2) H; "
        "theta -= lr * clip(m / max(gamma * h, eps), -1, 1)";
    static constexpr HyperparamInfo hyperparams[] = {
        lr_info(1e-4),
        weight_decay_info(0.1),
        {"beta1", 0.965, kDecayRate, "Decay rate of the gradient's running average."},
        {"beta2", 0.99, kDecayRate, "Decay rate of the Hessian diagonal's running average."},
        {"gamma", 0.01, kFloat, "Scales the Hessian diagonal: 0.01 for Sophia-H, 0.05 for Sophia-G."},
        {"eps", 1e-12, kFloat, "The smallest denominator."}};
    static constexpr uint32_t common_flags = NOPT_FLAG_MAXIMIZE | NOPT_FLAG_DECOUPLED_WEIGHT_DECAY;
    static constexpr uint32_t default_flags = NOPT_FLAG_DECOUPLED_WEIGHT_DECAY;
    static constexpr StateInfo states[] = {
        {"exp_avg", kSigned, kUpTo8Bits, "First moment m: a running average of the gradient."},
        {"hessian", kSigned, kUpTo8Bits, "A running average h of the Hessian diagonal, which may be negative."}};
    static constexpr InputInfo inputs[] = {
        {"hessian",
         "An estimate of the Hessian's diagonal, of the loss before scaling; a step without it keeps h as it is."}};
    static constexpr uint32_t variants[] = {0b11};

    struct Scalars : CommonScalars {
        float lr;
        float beta1;
        float one_minus_beta1;
        float beta2;
        float hessian_weight;  // 1 - beta2; negative to maximize, as the input is that of the maximized loss
        float gamma;
        float eps;
    };

    NOPT_HD static void advance(const StepInput&, Clock&) {}

    NOPT_HD static Scalars scalars(const StepInput& step, const Clock& clock, double lr_scale, double weight_decay) {
        Scalars s;
        set_common(s, step, clock, lr_scale, weight_decay);
        s.lr = static_cast<float>(step.values[kLr] * lr_scale);
        s.beta1 = static_cast<float>(step.values[kBeta1]);
        s.one_minus_beta1 = static_cast<float>(1.0 - step.values[kBeta1]);
        s.beta2 = static_cast<float>(step.values[kBeta2]);
        s.hessian_weight = (step.flags & NOPT_FLAG_MAXIMIZE) != 0 ? -static_cast<float>(1.0 - step.values[kBeta2])
                                                                  : static_cast<float>(1.0 - step.values[kBeta2]);
        s.gamma = static_cast<float>(step.values[kGamma]);
        s.eps = static_cast<float>(step.values[kEps]);
        return s;
    }

    NOPT_HD static void update(Element& e, const Present& present, const Scalars& s) {
        const float g = effective_grad(e, s);
        const float exp_avg = s.beta1 * e.state[kExpAvg] + s.one_minus_beta1 * g;
        e.state[kExpAvg] = exp_avg;
        if (present.input(kHessian)) {
            e.state[kHessianAvg] = s.beta2 * e.state[kHessianAvg] + s.hessian_weight * e.input[kHessian];
        }
        const float scaled = s.gamma * e.state[kHessianAvg];
        const float denominator = scaled < s.eps ? s.eps : scaled;
        float ratio = exp_avg / denominator;
        // A NaN is kept. (0 / 0 is one, where eps is 0 and nothing has been seen.)
        ratio = 1.0f < ratio ? 1.0f : ratio;
        ratio = -1.0f > ratio ? -1.0f : ratio;
        e.param = apply_update(e.param, s.lr * ratio, s);
    }
};

}  // namespace nopt
