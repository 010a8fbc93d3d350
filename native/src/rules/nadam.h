// NAdam (Dozat 2016) as torch has it: Adam with Nesterov's momentum, whose decay rate grows with the steps.
#pragma once

#include "numerics/functions.h"
#include "rules/moments.h"

namespace nopt {

struct NAdam : MomentRule<NAdam> {
    enum OwnHyperparam {
        kMomentumDecay = kFirstAfterMoments
    };
    enum OwnRunning {
        kSquareProduct,
        kMuProduct
    };

    static constexpr const char* name = "nadam";
    static constexpr const char* source =
        "Dozat 2016, \"Incorporating Nesterov momentum into Adam\", as torch has it since 2.0";
    static constexpr const char* equations =
        "m, v and v_hat as adam; mu = beta1 (1 - 0.96^(t momentum_decay) / 2) and mu' that of t + 1; P the product of "
        "mu; "
        "theta -= lr * ((1 - mu) / (1 - P) g + mu' / (1 - P mu') m) / (sqrt(v_hat) + eps)";
    static constexpr HyperparamInfo hyperparams[] = {
        lr_info(2e-3),
        weight_decay_info(0.0),
        beta1_info,
        beta2_info,
        eps_info,
        {"momentum_decay", 4e-3, kCoefficient,
         "psi: how fast the momentum's decay rate grows from beta1 / 2 to beta1."}};
    // The momentum's product is no power.
    static constexpr uint32_t common_flags = NOPT_FLAG_MAXIMIZE | NOPT_FLAG_DECOUPLED_WEIGHT_DECAY;
    static constexpr StateInfo states[] = {exp_avg_info, exp_avg_sq_info};
    static constexpr RunningInfo running[] = {
        decay_product_info("beta2_product", "The product of beta2 over all steps, for the bias correction of v."),
        decay_product_info("mu_product", "The product of the momentum's decay rates over all steps.")};
    static constexpr uint32_t variants[] = {0b11};

    struct Scalars : CommonScalars {
        float beta1;
        float one_minus_beta1;
        float beta2;
        float one_minus_beta2;
        float inv_sqrt_bias_correction2;
        float grad_step_size;
        float step_size;
        float eps;
    };

    NOPT_HD static double mu(const StepInput& step, int64_t t) {
        constexpr double kLog = -0.040821994520255166;  // ln 0.96
        const double decay = portable_exp(kLog * static_cast<double>(t) * step.values[kMomentumDecay]);
        return step.values[kBeta1] * (1.0 - 0.5 * decay);
    }

    NOPT_HD static void advance(const StepInput& step, Clock& clock) {
        clock.running[kSquareProduct] *= step.values[kBeta2];
        clock.running[kMuProduct] *= mu(step, clock.step);
    }

    NOPT_HD static Scalars scalars(const StepInput& step, const Clock& clock, double lr_scale, double weight_decay) {
        const double lr = step.values[kLr] * lr_scale;
        const double product = clock.running[kMuProduct];
        const double next = mu(step, clock.step + 1);
        Scalars s;
        set_common(s, step, clock, lr_scale, weight_decay);
        s.beta1 = static_cast<float>(step.values[kBeta1]);
        s.one_minus_beta1 = static_cast<float>(1.0 - step.values[kBeta1]);
        s.beta2 = static_cast<float>(step.values[kBeta2]);
        s.one_minus_beta2 = static_cast<float>(1.0 - step.values[kBeta2]);
        s.inv_sqrt_bias_correction2 = static_cast<float>(1.0 / sqrt(1.0 - clock.running[kSquareProduct]));
        s.grad_step_size = static_cast<float>(lr * (1.0 - mu(step, clock.step)) / (1.0 - product));
        s.step_size = static_cast<float>(lr * next / (1.0 - product * next));
        s.eps = static_cast<float>(step.values[kEps]);
        return s;
    }

    NOPT_HD static void update(Element& e, const Present&, const Scalars& s) {
        const float g = effective_grad(e, s);
        const float exp_avg = s.beta1 * e.state[kExpAvg] + s.one_minus_beta1 * g;
        const float exp_avg_sq = s.beta2 * e.state[kExpAvgSq] + s.one_minus_beta2 * (g * g);
        e.state[kExpAvg] = exp_avg;
        e.state[kExpAvgSq] = exp_avg_sq;
        const float denominator = NOPT_SQRTF(exp_avg_sq) * s.inv_sqrt_bias_correction2 + s.eps;
        e.param = apply_update(e.param, (s.grad_step_size * g + s.step_size * exp_avg) / denominator, s);
    }
};

}  // namespace nopt
