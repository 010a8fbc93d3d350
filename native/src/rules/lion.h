// Lion (Chen et al. 2023, arXiv 2302.06675, algorithm 2): steps of one size, in the sign of an interpolated momentum.
#pragma once

#include "rules/rule.h"

namespace nopt {

struct Lion : RuleDefaults {
    enum Hyperparam {
        kBeta1 = kFirstOwnHyperparam,
        kBeta2
    };
    enum State {
        kExpAvg
    };

    static constexpr const char* name = "lion";
    static constexpr const char* source =
        "Chen et al. 2023, \"Symbolic discovery of optimization algorithms\", arXiv 2302.06675, algorithm 2";
    static constexpr const char* equations = "theta -= lr * sign(beta1 m + (1 - beta1) g); m = beta2 m + (1 - beta2) g";
    static constexpr HyperparamInfo hyperparams[] = {
        lr_info(1e-4),
        weight_decay_info(0.0),
        {"beta1", 0.9, kDecayRate, "Weight of the momentum in the step's sign."},
        {"beta2", 0.99, kDecayRate, "Decay rate of the momentum."}};
    static constexpr uint32_t common_flags = NOPT_FLAG_MAXIMIZE | NOPT_FLAG_DECOUPLED_WEIGHT_DECAY;
    static constexpr uint32_t default_flags = NOPT_FLAG_DECOUPLED_WEIGHT_DECAY;
    static constexpr StateInfo states[] = {
        {"exp_avg", kSigned, kUpTo8Bits, "Momentum m: a running average of the gradient."}};
    static constexpr uint32_t variants[] = {0b1};

    struct Scalars : CommonScalars {
        float lr;
        float beta1;
        float one_minus_beta1;
        float beta2;
        float one_minus_beta2;
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
        return s;
    }

    NOPT_HD static void update(Element& e, const Present&, const Scalars& s) {
        const float g = effective_grad(e, s);
        const float blend = s.beta1 * e.state[kExpAvg] + s.one_minus_beta1 * g;
        e.state[kExpAvg] = s.beta2 * e.state[kExpAvg] + s.one_minus_beta2 * g;
        e.param = apply_update(e.param, s.lr * sign_of(blend), s);
    }
};

}  // namespace nopt
