// Adamax (Kingma & Ba 2015, algorithm 2) as torch has it: Adam with the largest decayed gradient in place of the second
// moment.
#pragma once

#include "rules/rule.h"

namespace nopt {

struct Adamax : RuleDefaults {
    enum Hyperparam {
        kBeta1 = kFirstOwnHyperparam,
        kBeta2,
        kEps
    };
    enum State {
        kExpAvg,
        kExpInf
    };
    enum Running {
        kBeta1Product
    };

    static constexpr const char* name = "adamax";
    static constexpr const char* source =
        "Kingma & Ba 2015, \"Adam: a method for stochastic optimization\", algorithm 2, as torch has it";
    static constexpr const char* equations =
        "m = beta1 m + (1 - beta1) g; u = max(beta2 u, |g| + eps); theta -= lr / (1 - beta1^t) * m / u";
    static constexpr HyperparamInfo hyperparams[] = {
        lr_info(2e-3),
        weight_decay_info(0.0),
        {"beta1", 0.9, kDecayRate, "Decay rate of the first moment."},
        {"beta2", 0.999, kDecayRate, "Decay rate of the largest gradient."},
        {"eps", 1e-8, kFloat, "Added to the gradient's magnitude."}};
    static constexpr uint32_t common_flags = NOPT_FLAG_MAXIMIZE | NOPT_FLAG_BIAS_CORRECTION_BY_POWER;
    static constexpr StateInfo states[] = {
        {"exp_avg", kSigned, kUpTo8Bits, "First moment m: a running average of the gradient."},
        {"exp_inf", kUnsigned, kUpTo8Bits, "u: the largest magnitude of the gradients, which decays."}};
    static constexpr RunningInfo running[] = {
        decay_product_info("beta1_product", "The product of beta1 over all steps, for the bias correction of m.")};
    static constexpr uint32_t variants[] = {0b11};

    struct Scalars : CommonScalars {
        float beta1;
        float one_minus_beta1;
        float beta2;
        float eps;
        float step_size;  // lr / (1 - beta1^t)
    };

    NOPT_HD static void advance(const StepInput& step, Clock& clock) {
        advance_decay_product(clock.running[kBeta1Product], step.values[kBeta1], step, clock);
    }

    NOPT_HD static Scalars scalars(const StepInput& step, const Clock& clock, double lr_scale, double weight_decay) {
        Scalars s;
        set_common(s, step, clock, lr_scale, weight_decay);
        s.beta1 = static_cast<float>(step.values[kBeta1]);
        s.one_minus_beta1 = static_cast<float>(1.0 - step.values[kBeta1]);
        s.beta2 = static_cast<float>(step.values[kBeta2]);
        s.eps = static_cast<float>(step.values[kEps]);
        s.step_size = static_cast<float>(step.values[kLr] * lr_scale / (1.0 - clock.running[kBeta1Product]));
        return s;
    }

    NOPT_HD static void update(Element& e, const Present&, const Scalars& s) {
        const float g = effective_grad(e, s);
        const float exp_avg = s.beta1 * e.state[kExpAvg] + s.one_minus_beta1 * g;
        const float decayed = s.beta2 * e.state[kExpInf];
        const float magnitude = fabsf(g) + s.eps;
        const float exp_inf = decayed >= magnitude ? decayed : magnitude;  // a NaN of the gradient is kept
        e.state[kExpAvg] = exp_avg;
        e.state[kExpInf] = exp_inf;
        e.param = apply_update(e.param, s.step_size * (exp_avg / exp_inf), s);
    }
};

}  // namespace nopt
