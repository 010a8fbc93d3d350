// RAdam (Liu et al. 2020, arXiv 1908.03265) as torch has it: Adam whose step is rectified by how well the second moment
// is known, and without the second moment as long as that is too little.
#pragma once

#include "rules/moments.h"

namespace nopt {

struct RAdam : MomentRule<RAdam> {
    static constexpr const char* name = "radam";
    static constexpr const char* source =
        "Liu et al. 2020, \"On the variance of the adaptive learning rate and beyond\", arXiv 1908.03265, as torch has "
        "it";
    static constexpr const char* equations =
        "m and v as adam; rho_inf = 2 / (1 - beta2) - 1; rho = rho_inf - 2 t beta2^t / (1 - beta2^t); where rho > 5: "
        "r = sqrt((rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho)), theta -= lr * r * sqrt(1 - "
        "beta2^t) * "
        "m / (1 - beta1^t) / (sqrt(v) + eps); else theta -= lr * m / (1 - beta1^t)";
    static constexpr HyperparamInfo hyperparams[] = {lr_info(1e-3), weight_decay_info(0.0), beta1_info, beta2_info,
                                                     eps_info};
    static constexpr StateInfo states[] = {exp_avg_info, exp_avg_sq_info};
    static constexpr uint32_t variants[] = {0b11};

    struct Scalars : MomentScalars {
        float step_size;
        float eps;
        int32_t is_rectified;
    };

    NOPT_HD static Scalars scalars(const StepInput& step, const Clock& clock, double lr_scale, double weight_decay) {
        const double product = clock.running[kBeta2Product];
        const double longest = 2.0 / (1.0 - step.values[kBeta2]) - 1.0;
        const double length = longest - 2.0 * static_cast<double>(clock.step) * product / (1.0 - product);
        const double lr = corrected_lr(step, clock, lr_scale);
        Scalars s;
        set_moments(s, step, clock, lr_scale, weight_decay);
        s.inv_sqrt_bias_correction2 = 1.0f;  // it is part of the step size, since eps is not corrected
        s.is_rectified = length > 5.0;
        s.step_size = static_cast<float>(lr);
        if (length > 5.0) {
            const double r =
                sqrt((length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length));
            s.step_size = static_cast<float>(lr * r * sqrt(1.0 - product));
        }
        s.eps = static_cast<float>(step.values[kEps]);
        return s;
    }

    NOPT_HD static float delta(float exp_avg, float root, const Scalars& s) {
        return s.step_size * (s.is_rectified ? exp_avg / (root + s.eps) : exp_avg);
    }
};

}  // namespace nopt
