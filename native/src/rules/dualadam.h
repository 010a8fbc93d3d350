// DualAdam (arXiv 2603.07122): starts as InvAdam and turns into Adam, a = max(0, 1 - switching_rate * t) being the
// weight of the inverse part at step t.
#pragma once

#include "rules/moments.h"

namespace nopt {

struct DualAdam : MomentRule<DualAdam> {
    static constexpr RuleTraits traits = {"dualadam",
                                          kMomentFlags | NOPT_FLAG_INVERSE_EPSILON,
                                          NOPT_HYPERPARAM_BETAS_EPS | NOPT_HYPERPARAM_SWITCHING_RATE,
                                          {sizeof(nopt_hyperparams), 0, 1e-3, 0.9, 0.999, 1e-8, 0.0, 0.0, 8e-5, 0}};

    struct Scalars {
        MomentScalars moments;
        float inverse_step_size;  // lr * a / (1 - beta1^t)
        float step_size;          // lr * (1 - a) / (1 - beta1^t)
        float eps;
        float inverse_eps;  // eps if INVERSE_EPSILON, else 0
    };

    NOPT_HD static Scalars scalars(const StepInput& step, double lr_scale, double weight_decay) {
        const double left = 1.0 - step.switching_rate * static_cast<double>(step.step);
        const double a = left > 0.0 ? left : 0.0;
        const double lr = step.lr * lr_scale / step.bias_correction1;
        Scalars s;
        s.moments = moment_scalars(step, lr_scale, weight_decay);
        s.inverse_step_size = static_cast<float>(lr * a);
        s.step_size = static_cast<float>(lr * (1.0 - a));
        s.eps = static_cast<float>(step.eps);
        s.inverse_eps = (step.flags & NOPT_FLAG_INVERSE_EPSILON) != 0 ? s.eps : 0.0f;
        return s;
    }

    // lr * (a * m_hat * sqrt(v_hat) + (1 - a) * m_hat / (sqrt(v_hat) + eps))
    NOPT_HD static float delta(float exp_avg, float root, const Scalars& s) {
        return s.inverse_step_size * (exp_avg * (root + s.inverse_eps)) + s.step_size * (exp_avg / (root + s.eps));
    }
};

}  // namespace nopt
