// DualAdam (arXiv 2603.07122): starts as InvAdam and turns into Adam, a being the weight of the inverse part at step t.
#pragma once

#include "rules/invadam.h"

namespace nopt {

struct DualAdam : MomentRule<DualAdam> {
    enum OwnHyperparam {
        kSwitchingRate = kFirstAfterMoments,
        kSchedule,
        kBase,
        kStepsPerEpoch,
        kSwitchStep,
        kInverseWeight
    };
    enum Schedule {
        kLinear,
        kExponential,
        kFixed,
        kGiven
    };

    static constexpr const char* name = "dualadam";
    static constexpr const char* source = "arXiv 2603.07122, DualAdam (algorithm 1)";
    static constexpr const char* equations =
        "m, v, m_hat and v_hat as adam; a = max(0, 1 - switching_rate * t), or by schedule base^floor((t - 1) / "
        "steps_per_epoch), 1 up to switch_step and then 0, or inverse_weight; theta -= lr * (a * m_hat * sqrt(v_hat) + "
        "(1 - a) * m_hat / (sqrt(v_hat) + eps))";
    static constexpr HyperparamInfo hyperparams[] = {
        lr_info(1e-3),
        weight_decay_info(0.0),
        beta1_info,
        beta2_info,
        eps_info,
        {"switching_rate", 8e-5, kFloat,
         "xi: the weight a of the inverse part at step t is max(0, 1 - xi * t); 8e-5 in the paper."},
        {"schedule",
         double{kLinear},
         {0.0, 3.0, false, true},
         "How a falls: 0 linearly, 1 exponentially by epochs, 2 from 1 to 0 after switch_step, 3 as inverse_weight "
         "says."},
        {"base", 0.9, kPart, "Exponential schedule: what a is multiplied with after each epoch."},
        {"steps_per_epoch", 1.0, {1.0, kStepNumber.max, false, true}, "Exponential schedule: the steps of an epoch."},
        {"switch_step", 0.0, kStepNumber, "Fixed schedule: the last step with the inverse part alone."},
        {"inverse_weight", 1.0, kPart, "Given schedule: a, which the host may set before each step."}};
    static constexpr FlagInfo flags[] = {kAmsgradInfo, kInverseEpsilonInfo};

    struct Scalars : MomentScalars {
        float inverse_step_size;  // lr * a / (1 - beta1^t)
        float step_size;          // lr * (1 - a) / (1 - beta1^t)
        float eps;
        float inverse_eps;   // eps with inverse_epsilon, else 0
        float largest_root;  // of the inverse part; infinite, or 0
    };

    // a
    NOPT_HD static double inverse_weight(const StepInput& step, int64_t t) {
        switch (static_cast<int>(step.values[kSchedule])) {
            case kExponential:
                return power(step.values[kBase], (t - 1) / static_cast<int64_t>(step.values[kStepsPerEpoch]));
            case kFixed:
                return static_cast<double>(t) <= step.values[kSwitchStep] ? 1.0 : 0.0;
            case kGiven:
                return step.values[kInverseWeight];
            default: {
                const double left = 1.0 - step.values[kSwitchingRate] * static_cast<double>(t);
                return left > 0.0 ? left : 0.0;
            }
        }
    }

    NOPT_HD static Scalars scalars(const StepInput& step, const Clock& clock, double lr_scale, double weight_decay) {
        const double a = inverse_weight(step, clock.step);
        const double lr = corrected_lr(step, clock, lr_scale);
        Scalars s;
        set_moments(s, step, clock, lr_scale, weight_decay);
        s.inverse_step_size = static_cast<float>(lr * a);
        s.step_size = static_cast<float>(lr * (1.0 - a));
        s.eps = static_cast<float>(step.values[kEps]);
        s.inverse_eps = (step.flags & kInverseEpsilon) != 0 ? s.eps : 0.0f;
        s.largest_root = INFINITY;
        // A part without weight must not count, even where it would be infinite or a NaN: then it is finite.
        if (s.inverse_step_size == 0.0f) {
            s.inverse_eps = 0.0f;
            s.largest_root = 0.0f;
        }
        if (s.step_size == 0.0f) {
            s.eps = 1.0f;
        }
        return s;
    }

    // lr * (a * m_hat * sqrt(v_hat) + (1 - a) * m_hat / (sqrt(v_hat) + eps))
    NOPT_HD static float delta(float exp_avg, float root, const Scalars& s) {
        const float inverse_root = s.largest_root < root ? s.largest_root : root;
        return s.inverse_step_size * (exp_avg * (inverse_root + s.inverse_eps)) +
               s.step_size * (exp_avg / (root + s.eps));
    }
};

}  // namespace nopt
