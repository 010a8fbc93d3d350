// MIAdam (Jin et al. 2025, arXiv 2412.12473) as its authors' code has it: Adam whose first moment is integrated once to
// three times during the first steps, to leave sharp minima.
#pragma once

#include "rules/moments.h"

namespace nopt {

struct MiAdam : MomentRule<MiAdam> {
    enum OwnHyperparam {
        kKappa = kFirstAfterMoments,
        kOrder,
        kSwitchStep
    };
    enum OwnState {
        kBufExpAvg = 2,
        kBufExpAvg2,
        kBufExpAvg3
    };

    static constexpr const char* name = "miadam";
    static constexpr const char* source =
        "Jin et al. 2025, \"A method for enhancing generalization of Adam by multiple integrations\", arXiv "
        "2412.12473, as "
        "its authors' code (LongJin-lab/MIAdam) has it, with steps in place of epochs";
    static constexpr const char* equations =
        "m, v, m_hat and v_hat as adam; while t <= switch_step: b1 = kappa b1 + m, b2 = kappa b2 + b1, b3 = kappa b3 + "
        "b2, "
        "as many as order says, and theta -= lr^(order + 1) / (1 - beta1^t) * b_order / (sqrt(v_hat) + eps); then as "
        "adam";
    static constexpr HyperparamInfo hyperparams[] = {
        // Its fourth power over 1 - beta1^t is finite as a float.
        {"lr", 1e-3, {0.0, 1e5, false, false}, "The learning rate."},
        weight_decay_info(0.0),
        beta1_info,
        beta2_info,
        eps_info,
        {"kappa", 0.98, kDecayRate, "Decay rate of the integrals."},
        {"order", 1.0, {1.0, 3.0, false, true}, "How often the first moment is integrated."},
        {"switch_step", 0.0, kStepNumber, "The last step with the integrals; with 0 the rule is Adam."}};
    static constexpr uint32_t common_flags = NOPT_FLAG_MAXIMIZE | NOPT_FLAG_BIAS_CORRECTION_BY_POWER;
    static constexpr StateInfo states[] = {
        exp_avg_info,
        exp_avg_sq_info,
        {"buf_exp_avg", kSigned, kUpTo8Bits, "b1: a decaying sum of the first moments."},
        {"buf_exp_avg2", kSigned, kUpTo8Bits, "b2: a decaying sum of b1.", 0, kOrder, 1.0},
        {"buf_exp_avg3", kSigned, kUpTo8Bits, "b3: a decaying sum of b2.", 0, kOrder, 2.0}};
    static constexpr uint32_t variants[] = {0b00111, 0b01111, 0b11111};

    struct Scalars : MomentScalars {
        float step_size;
        float eps;
        float kappa;
        int32_t integrates;
    };

    NOPT_HD static Scalars scalars(const StepInput& step, const Clock& clock, double lr_scale, double weight_decay) {
        const bool integrates = static_cast<double>(clock.step) <= step.values[kSwitchStep];
        const double more =
            integrates ? power(step.values[kLr] * lr_scale, static_cast<int64_t>(step.values[kOrder])) : 1.0;
        Scalars s;
        set_moments(s, step, clock, lr_scale, weight_decay);
        s.step_size = static_cast<float>(more * corrected_lr(step, clock, lr_scale));
        s.eps = static_cast<float>(step.values[kEps]);
        s.kappa = static_cast<float>(step.values[kKappa]);
        s.integrates = integrates;
        return s;
    }

    NOPT_HD static void update(Element& e, const Present& present, const Scalars& s) {
        const float g = effective_grad(e, s);
        // beta1 and 1 - beta1 rounded to float do not add up to 1, and the integrals would sum up what is missing.
        const float exp_avg = e.state[kExpAvg] + s.one_minus_beta1 * (g - e.state[kExpAvg]);
        const float exp_avg_sq = s.beta2 * e.state[kExpAvgSq] + s.one_minus_beta2 * (g * g);
        e.state[kExpAvg] = exp_avg;
        e.state[kExpAvgSq] = exp_avg_sq;
        float direction = exp_avg;
        if (s.integrates) {
            direction = s.kappa * e.state[kBufExpAvg] + direction;
            e.state[kBufExpAvg] = direction;
            if (present.state(kBufExpAvg2)) {
                direction = s.kappa * e.state[kBufExpAvg2] + direction;
                e.state[kBufExpAvg2] = direction;
            }
            if (present.state(kBufExpAvg3)) {
                direction = s.kappa * e.state[kBufExpAvg3] + direction;
                e.state[kBufExpAvg3] = direction;
            }
        }
        const float denominator = NOPT_SQRTF(exp_avg_sq) * s.inv_sqrt_bias_correction2 + s.eps;
        e.param = apply_update(e.param, s.step_size * (direction / denominator), s);
    }
};

}  // namespace nopt
