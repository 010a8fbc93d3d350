// What Adam and its kin share: the two moments, bias correction and, where a rule says so, AMSGrad. Each rule adds how
// the normalised second moment scales the first.
#pragma once

#include "rules/rule.h"

namespace nopt {

constexpr uint32_t kAmsgrad = own_flag(0);
constexpr FlagInfo kAmsgradInfo = {
    "amsgrad", "Uses the running maximum of the second moment in its place (Reddi et al. 2018), as torch defines it."};

struct MomentScalars : CommonScalars {
    float beta1;
    float one_minus_beta1;
    float beta2;
    float one_minus_beta2;
    float inv_sqrt_bias_correction2;  // sqrt(v_hat) = sqrt(v) * this
};

template <class Rule>
struct MomentRule : RuleDefaults {
    enum Hyperparam {
        kBeta1 = kFirstOwnHyperparam,
        kBeta2,
        kEps,
        kFirstAfterMoments
    };
    enum State {
        kExpAvg,
        kExpAvgSq,
        kMaxExpAvgSq
    };
    enum Running {
        kBeta1Product,
        kBeta2Product
    };

    static constexpr HyperparamInfo beta1_info = {"beta1", 0.9, kDecayRate, "Decay rate of the first moment."};
    static constexpr HyperparamInfo beta2_info = {"beta2", 0.999, kDecayRate, "Decay rate of the second moment."};
    static constexpr HyperparamInfo eps_info = {"eps", 1e-8, kFloat, "Added to the root of the second moment."};

    static constexpr StateInfo exp_avg_info = {"exp_avg", kSigned, kUpTo8Bits,
                                               "First moment m: a running average of the gradient."};
    static constexpr StateInfo exp_avg_sq_info = {"exp_avg_sq", kUnsigned, kUpTo8Bits,
                                                  "Second moment v: a running average of the squared gradient."};

    static constexpr uint32_t common_flags =
        NOPT_FLAG_MAXIMIZE | NOPT_FLAG_DECOUPLED_WEIGHT_DECAY | NOPT_FLAG_BIAS_CORRECTION_BY_POWER;
    // With their lengths, as nvcc 11.8 does not count the elements of a class template's array.
    static constexpr StateInfo states[3] = {
        exp_avg_info, exp_avg_sq_info, {"max_exp_avg_sq", kUnsigned, kUpTo8Bits, "Running maximum of v.", kAmsgrad}};
    static constexpr RunningInfo running[2] = {
        decay_product_info("beta1_product", "The product of beta1 over all steps, for the bias correction of m."),
        decay_product_info("beta2_product", "The product of beta2 over all steps, for the bias correction of v.")};
    static constexpr uint32_t variants[2] = {0b011, 0b111};

    NOPT_HD static void advance(const StepInput& step, Clock& clock) {
        advance_decay_product(clock.running[kBeta1Product], step.values[kBeta1], step, clock);
        advance_decay_product(clock.running[kBeta2Product], step.values[kBeta2], step, clock);
    }

    NOPT_HD static void set_moments(MomentScalars& s, const StepInput& step, const Clock& clock, double lr_scale,
                                    double weight_decay) {
        set_common(s, step, clock, lr_scale, weight_decay);
        s.beta1 = static_cast<float>(step.values[kBeta1]);
        s.one_minus_beta1 = static_cast<float>(1.0 - step.values[kBeta1]);
        s.beta2 = static_cast<float>(step.values[kBeta2]);
        s.one_minus_beta2 = static_cast<float>(1.0 - step.values[kBeta2]);
        s.inv_sqrt_bias_correction2 = static_cast<float>(1.0 / sqrt(1.0 - clock.running[kBeta2Product]));
    }

    // lr / (1 - beta1^t)
    NOPT_HD static double corrected_lr(const StepInput& step, const Clock& clock, double lr_scale) {
        return step.values[kLr] * lr_scale / (1.0 - clock.running[kBeta1Product]);
    }

    template <class Scalars>
    NOPT_HD static void update(Element& e, const Present& present, const Scalars& s) {
        const float g = effective_grad(e, s);
        const float exp_avg = s.beta1 * e.state[kExpAvg] + s.one_minus_beta1 * g;
        const float exp_avg_sq = s.beta2 * e.state[kExpAvgSq] + s.one_minus_beta2 * (g * g);
        float denominator_sq = exp_avg_sq;
        if (present.state(kMaxExpAvgSq)) {
            // In this order a NaN in exp_avg_sq is kept, as torch's maximum does.
            denominator_sq = e.state[kMaxExpAvgSq] >= exp_avg_sq ? e.state[kMaxExpAvgSq] : exp_avg_sq;
            e.state[kMaxExpAvgSq] = denominator_sq;
        }
        e.state[kExpAvg] = exp_avg;
        e.state[kExpAvgSq] = exp_avg_sq;
        const float root = NOPT_SQRTF(denominator_sq) * s.inv_sqrt_bias_correction2;
        e.param = apply_update(e.param, Rule::delta(exp_avg, root, s), s);
    }
};

}  // namespace nopt
