// Adam (Kingma & Ba 2015, algorithm 1); with decoupled weight decay AdamW (Loshchilov & Hutter 2019, algorithm 2).
#pragma once

#include "rules/moments.h"

namespace nopt {

struct Adam : MomentRule<Adam> {
    static constexpr RuleTraits traits = {"adam",
                                          kMomentFlags,
                                          NOPT_HYPERPARAM_BETAS_EPS,
                                          {sizeof(nopt_hyperparams), 0, 1e-3, 0.9, 0.999, 1e-8, 0.0, 0.0, 0.0, 0}};

    struct Scalars {
        MomentScalars moments;
        float step_size;  // lr / (1 - beta1^t)
        float eps;
    };

    NOPT_HD static Scalars scalars(const StepInput& step, double lr_scale, double weight_decay) {
        Scalars s;
        s.moments = moment_scalars(step, lr_scale, weight_decay);
        s.step_size = static_cast<float>(step.lr * lr_scale / step.bias_correction1);
        s.eps = static_cast<float>(step.eps);
        return s;
    }

    // lr * m_hat / (sqrt(v_hat) + eps)
    NOPT_HD static float delta(float exp_avg, float root, const Scalars& s) {
        return s.step_size * (exp_avg / (root + s.eps));
    }
};

}  // namespace nopt
