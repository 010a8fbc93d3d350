// What Adam, InvAdam and DualAdam share: the two moments, bias correction and AMSGrad. Each rule adds how the
// normalised second moment scales the first.
#pragma once

#include "rules/rule.h"

namespace nopt {

struct MomentScalars {
    CommonScalars common;
    float beta1;
    float one_minus_beta1;
    float beta2;
    float one_minus_beta2;
    float inv_sqrt_bias_correction2;  // sqrt(v_hat) = sqrt(v) * this
};

template <class Rule>
struct MomentRule {
    NOPT_HD static constexpr StateRoles states(int variant) {
        return {variant == 1 ? 3 : 2, {NOPT_ROLE_EXP_AVG, NOPT_ROLE_EXP_AVG_SQ, NOPT_ROLE_MAX_EXP_AVG_SQ}};
    }

    template <class Scalars>
    NOPT_HD static auto& common(Scalars& s) {
        return s.moments.common;
    }

    static int variant(uint32_t flags, double) { return (flags & NOPT_FLAG_AMSGRAD) != 0 ? 1 : 0; }

    NOPT_HD static MomentScalars moment_scalars(const StepInput& step, double lr_scale, double weight_decay) {
        MomentScalars s;
        s.common = common_scalars(step, lr_scale, weight_decay);
        s.beta1 = static_cast<float>(step.beta1);
        s.one_minus_beta1 = static_cast<float>(1.0 - step.beta1);
        s.beta2 = static_cast<float>(step.beta2);
        s.one_minus_beta2 = static_cast<float>(1.0 - step.beta2);
        s.inv_sqrt_bias_correction2 = static_cast<float>(1.0 / sqrt(step.bias_correction2));
        return s;
    }

    template <int Variant, class Scalars>
    NOPT_HD static void update(float& param, float grad, float (&state)[kMaxStates], const Scalars& s) {
        const MomentScalars& c = s.moments;
        const float g = effective_grad(param, grad, c.common);
        const float exp_avg = c.beta1 * state[0] + c.one_minus_beta1 * g;
        const float exp_avg_sq = c.beta2 * state[1] + c.one_minus_beta2 * (g * g);
        float denominator_sq = exp_avg_sq;
        if (Variant == 1) {
            // In this order a NaN in exp_avg_sq is kept, as torch's maximum does.
            denominator_sq = state[2] >= exp_avg_sq ? state[2] : exp_avg_sq;
            state[2] = denominator_sq;
        }
        state[0] = exp_avg;
        state[1] = exp_avg_sq;
        const float root = NOPT_SQRTF(denominator_sq) * c.inv_sqrt_bias_correction2;
        param = apply_update(param, Rule::delta(exp_avg, root, s), c.common);
    }
};

constexpr uint32_t kMomentFlags = NOPT_FLAG_AMSGRAD | NOPT_FLAG_MAXIMIZE | NOPT_FLAG_DECOUPLED_WEIGHT_DECAY;

}  // namespace nopt
