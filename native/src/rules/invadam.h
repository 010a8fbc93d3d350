// InvAdam (arXiv 2603.07122): the step grows with the second moment, to leave sharp minima.
#pragma once

#include "rules/moments.h"

namespace nopt {

struct InvAdam : MomentRule<InvAdam> {
    static constexpr RuleTraits traits = {"invadam",
                                          kMomentFlags | NOPT_FLAG_INVERSE_EPSILON,
                                          NOPT_HYPERPARAM_BETAS_EPS,
                                          {sizeof(nopt_hyperparams), 0, 1e-3, 0.9, 0.999, 1e-8, 0.0, 0.0, 0.0, 0}};

    struct Scalars {
        MomentScalars moments;
        float step_size;    // lr / (1 - beta1^t)
        float inverse_eps;  // eps if INVERSE_EPSILON, else 0
    };

    NOPT_HD static Scalars scalars(const StepInput& step, double lr_scale, double weight_decay) {
        Scalars s;
        s.moments = moment_scalars(step, lr_scale, weight_decay);
        s.step_size = static_cast<float>(step.lr * lr_scale / step.bias_correction1);
        s.inverse_eps = (step.flags & NOPT_FLAG_INVERSE_EPSILON) != 0 ? static_cast<float>(step.eps) : 0.0f;
        return s;
    }

    // lr * m_hat * sqrt(v_hat)
    NOPT_HD static float delta(float exp_avg, float root, const Scalars& s) {
        return s.step_size * (exp_avg * (root + s.inverse_eps));
    }
};

}  // namespace nopt
