// Adam (Kingma & Ba 2015, algorithm 1); with decoupled weight decay AdamW (Loshchilov & Hutter 2019, algorithm 2).
#pragma once

#include "rules/moments.h"

namespace nopt {

struct Adam : MomentRule<Adam> {
    static constexpr const char* name = "adam";
    static constexpr const char* source =
        "Kingma & Ba 2015, \"Adam: a method for stochastic optimization\", algorithm 1; with decoupled weight decay "
        "AdamW, "
        "Loshchilov & Hutter 2019, algorithm 2";
    static constexpr const char* equations =
        "m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; m_hat = m / (1 - beta1^t); v_hat = v / (1 - "
        "beta2^t); "
        "theta -= lr * m_hat / (sqrt(v_hat) + eps)";
    static constexpr HyperparamInfo hyperparams[] = {lr_info(1e-3), weight_decay_info(0.0), beta1_info, beta2_info,
                                                     eps_info};
    static constexpr FlagInfo flags[] = {kAmsgradInfo};

    struct Scalars : MomentScalars {
        float step_size;  // lr / (1 - beta1^t)
        float eps;
    };

    NOPT_HD static Scalars scalars(const StepInput& step, const Clock& clock, double lr_scale, double weight_decay) {
        Scalars s;
        set_moments(s, step, clock, lr_scale, weight_decay);
        s.step_size = static_cast<float>(corrected_lr(step, clock, lr_scale));
        s.eps = static_cast<float>(step.values[kEps]);
        return s;
    }

    // lr * m_hat / (sqrt(v_hat) + eps)
    NOPT_HD static float delta(float exp_avg, float root, const Scalars& s) {
        return s.step_size * (exp_avg / (root + s.eps));
    }
};

}  // namespace nopt
