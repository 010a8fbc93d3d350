// InvAdam (arXiv 2603.07122): the step grows with the second moment, to leave sharp minima.
#pragma once

#include "rules/moments.h"

namespace nopt {

constexpr uint32_t kInverseEpsilon = own_flag(1);
constexpr FlagInfo kInverseEpsilonInfo = {
    "inverse_epsilon",
    "The inverse part multiplies by (sqrt(v_hat) + eps), as the published code of "
    "DualAdam does, not by sqrt(v_hat)."};

struct InvAdam : MomentRule<InvAdam> {
    static constexpr const char* name = "invadam";
    static constexpr const char* source = "arXiv 2603.07122, InvAdam";
    static constexpr const char* equations = "m, v, m_hat and v_hat as adam; theta -= lr * m_hat * sqrt(v_hat)";
    static constexpr HyperparamInfo hyperparams[] = {lr_info(1e-3), weight_decay_info(0.0), beta1_info, beta2_info,
                                                     eps_info};
    static constexpr FlagInfo flags[] = {kAmsgradInfo, kInverseEpsilonInfo};

    struct Scalars : MomentScalars {
        float step_size;    // lr / (1 - beta1^t)
        float inverse_eps;  // eps with inverse_epsilon, else 0
    };

    NOPT_HD static Scalars scalars(const StepInput& step, const Clock& clock, double lr_scale, double weight_decay) {
        Scalars s;
        set_moments(s, step, clock, lr_scale, weight_decay);
        s.step_size = static_cast<float>(corrected_lr(step, clock, lr_scale));
        s.inverse_eps = (step.flags & kInverseEpsilon) != 0 ? static_cast<float>(step.values[kEps]) : 0.0f;
        return s;
    }

    // lr * m_hat * sqrt(v_hat)
    NOPT_HD static float delta(float exp_avg, float root, const Scalars& s) {
        return s.step_size * (exp_avg * (root + s.inverse_eps));
    }
};

}  // namespace nopt
