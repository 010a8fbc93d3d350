// AdEMAMix (Pagliardini et al. 2024, arXiv 2409.03137, algorithm 1): Adam with a second, much slower first moment
// beside the first.
#pragma once

#include "numerics/functions.h"

namespace nopt {

struct AdEmaMix : RuleDefaults {
    enum Hyperparam {
        kBeta1 = kFirstOwnHyperparam,
        kBeta2,
        kBeta3,
        kAlpha,
        kTAlphaBeta3,
        kEps
    };
    enum State {
        kExpAvgFast,
        kExpAvgSlow,
        kExpAvgSq
    };
    enum Running {
        kBeta1Product,
        kBeta2Product
    };

    static constexpr const char* name = "ademamix";
    static constexpr const char* source =
        "Pagliardini et al. 2024, \"The AdEMAMix optimizer: better, faster, older\", arXiv 2409.03137, algorithm 1";
    static constexpr const char* equations =
        "s = min(t / t_alpha_beta3, 1); alpha_t = s alpha; beta3_t = min(beta3, exp(1 / ((1 - s) / ln beta1 + s / ln "
        "beta3))); m1 = beta1 m1 + (1 - beta1) g; m2 = beta3_t m2 + (1 - beta3_t) g; v = beta2 v + (1 - beta2) g^2; "
        "theta -= lr * (m1 / (1 - beta1^t) + alpha_t m2) / (sqrt(v / (1 - beta2^t)) + eps)";
    static constexpr HyperparamInfo hyperparams[] = {
        lr_info(1e-3),
        weight_decay_info(0.0),
        {"beta1", 0.9, kDecayRate, "Decay rate of the fast first moment."},
        {"beta2", 0.999, kDecayRate, "Decay rate of the second moment."},
        {"beta3", 0.9999, kDecayRate, "Decay rate of the slow first moment."},
        {"alpha", 5.0, kCoefficient, "Weight of the slow first moment."},
        {"t_alpha_beta3", 0.0, kStepNumber, "The step at which alpha and beta3 are what they are; 0: from the first."},
        {"eps", 1e-8, kFloat, "Added to the root of the second moment."}};
    static constexpr uint32_t common_flags =
        NOPT_FLAG_MAXIMIZE | NOPT_FLAG_DECOUPLED_WEIGHT_DECAY | NOPT_FLAG_BIAS_CORRECTION_BY_POWER;
    static constexpr uint32_t default_flags = NOPT_FLAG_DECOUPLED_WEIGHT_DECAY;
    static constexpr StateInfo states[] = {
        {"exp_avg_fast", kSigned, kUpTo8Bits, "First moment m1: a running average of the gradient."},
        // It moves by 1 - beta3 of its distance, less than 8 bits can tell.
        {"exp_avg_slow", kSigned, kUpTo16Bits,
         "First moment m2: a running average of the gradient over many more steps."},
        {"exp_avg_sq", kUnsigned, kUpTo8Bits, "Second moment v: a running average of the squared gradient."}};
    static constexpr RunningInfo running[] = {
        decay_product_info("beta1_product", "The product of beta1 over all steps, for the bias correction of m1."),
        decay_product_info("beta2_product", "The product of beta2 over all steps, for the bias correction of v.")};
    static constexpr uint32_t variants[] = {0b111};

    struct Scalars : CommonScalars {
        float beta1;
        float one_minus_beta1;
        float beta2;
        float one_minus_beta2;
        float beta3;
        float one_minus_beta3;
        float inv_sqrt_bias_correction2;
        float step_size;       // lr / (1 - beta1^t)
        float slow_step_size;  // lr * alpha_t
        float eps;
    };

    NOPT_HD static void advance(const StepInput& step, Clock& clock) {
        advance_decay_product(clock.running[kBeta1Product], step.values[kBeta1], step, clock);
        advance_decay_product(clock.running[kBeta2Product], step.values[kBeta2], step, clock);
    }

    NOPT_HD static Scalars scalars(const StepInput& step, const Clock& clock, double lr_scale, double weight_decay) {
        const double lr = step.values[kLr] * lr_scale;
        double beta3 = step.values[kBeta3];
        double alpha = step.values[kAlpha];
        const double t = static_cast<double>(clock.step);
        if (t < step.values[kTAlphaBeta3]) {
            // The half-life grows evenly. A beta of 0 has the logarithm -infinity, which is right here.
            const double part = t / step.values[kTAlphaBeta3];
            const double now =
                portable_exp(1.0 / ((1.0 - part) / portable_log(step.values[kBeta1]) + part / portable_log(beta3)));
            beta3 = now < beta3 ? now : beta3;
            alpha *= part;
        }
        Scalars s;
        set_common(s, step, clock, lr_scale, weight_decay);
        s.beta1 = static_cast<float>(step.values[kBeta1]);
        s.one_minus_beta1 = static_cast<float>(1.0 - step.values[kBeta1]);
        s.beta2 = static_cast<float>(step.values[kBeta2]);
        s.one_minus_beta2 = static_cast<float>(1.0 - step.values[kBeta2]);
        s.beta3 = static_cast<float>(beta3);
        s.one_minus_beta3 = static_cast<float>(1.0 - beta3);
        s.inv_sqrt_bias_correction2 = static_cast<float>(1.0 / sqrt(1.0 - clock.running[kBeta2Product]));
        s.step_size = static_cast<float>(lr / (1.0 - clock.running[kBeta1Product]));
        s.slow_step_size = static_cast<float>(lr * alpha);
        s.eps = static_cast<float>(step.values[kEps]);
        return s;
    }

    NOPT_HD static void update(Element& e, const Present&, const Scalars& s) {
        const float g = effective_grad(e, s);
        const float fast = s.beta1 * e.state[kExpAvgFast] + s.one_minus_beta1 * g;
        const float slow = s.beta3 * e.state[kExpAvgSlow] + s.one_minus_beta3 * g;
        const float exp_avg_sq = s.beta2 * e.state[kExpAvgSq] + s.one_minus_beta2 * (g * g);
        e.state[kExpAvgFast] = fast;
        e.state[kExpAvgSlow] = slow;
        e.state[kExpAvgSq] = exp_avg_sq;
        const float denominator = NOPT_SQRTF(exp_avg_sq) * s.inv_sqrt_bias_correction2 + s.eps;
        e.param = apply_update(e.param, (s.step_size * fast + s.slow_step_size * slow) / denominator, s);
    }
};

}  // namespace nopt
