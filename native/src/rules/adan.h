// Adan (Xie et al. 2022, arXiv 2208.06677) as its authors' code has it: states begin at zero and are bias-corrected,
// and beta is what the paper calls 1 - beta.
#pragma once

#include "rules/rule.h"

namespace nopt {

struct Adan : RuleDefaults {
    enum Hyperparam {
        kBeta1 = kFirstOwnHyperparam,
        kBeta2,
        kBeta3,
        kEps
    };
    enum State {
        kExpAvg,
        kExpAvgDiff,
        kExpAvgSq,
        kPreGrad
    };
    enum Running {
        kBeta1Product,
        kBeta2Product,
        kBeta3Product
    };
    static constexpr uint32_t kNoProx = own_flag(0);

    static constexpr const char* name = "adan";
    static constexpr const char* source =
        "Xie et al. 2022, \"Adan: adaptive Nesterov momentum algorithm for faster optimizing deep models\", arXiv "
        "2208.06677, as its authors' code (sail-sg/Adan) has it: without restarts";
    static constexpr const char* equations =
        "d = g - g of the step before (0 in the first); m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) d; "
        "n = beta3 n + (1 - beta3) (g + beta2 d)^2; D = sqrt(n / (1 - beta3^t)) + eps; "
        "theta = (theta - lr * (m / (1 - beta1^t) + beta2 v / (1 - beta2^t)) / D) / (1 + lr * weight_decay), with "
        "no_prox "
        "theta -= lr * (weight_decay * theta + (...) / D)";
    static constexpr HyperparamInfo hyperparams[] = {
        lr_info(1e-3),
        weight_decay_info(0.0),
        {"beta1", 0.98, kDecayRate, "Decay rate of the gradient's running average."},
        {"beta2", 0.92, kDecayRate, "Decay rate of the running average of the gradient's differences."},
        {"beta3", 0.99, kDecayRate, "Decay rate of the second moment."},
        {"eps", 1e-8, kFloat, "Added to the root of the second moment."}};
    static constexpr uint32_t common_flags = NOPT_FLAG_BIAS_CORRECTION_BY_POWER;
    static constexpr FlagInfo flags[] = {
        {"no_prox",
         "Weight decay shrinks the parameter before the update, instead of dividing it by 1 + lr * weight_decay "
         "after the update."}};
    static constexpr StateInfo states[] = {
        {"exp_avg", kSigned, kUpTo8Bits, "First moment m: a running average of the gradient."},
        {"exp_avg_diff", kSigned, kUpTo8Bits, "A running average v of the gradient's differences."},
        {"exp_avg_sq", kUnsigned, kUpTo8Bits, "Second moment n, of the gradient with its difference looked ahead."},
        {"pre_grad", kSigned, kUpTo8Bits, "The gradient of the tensor's step before."}};
    static constexpr RunningInfo running[] = {
        decay_product_info("beta1_product", "The product of beta1 over all steps, for the bias correction of m."),
        decay_product_info("beta2_product", "The product of beta2 over all steps, for the bias correction of v."),
        decay_product_info("beta3_product", "The product of beta3 over all steps, for the bias correction of n.")};
    static constexpr uint32_t variants[] = {0b1111};

    struct Scalars : CommonScalars {
        float beta1;
        float one_minus_beta1;
        float beta2;
        float one_minus_beta2;
        float beta3;
        float one_minus_beta3;
        float inv_sqrt_bias_correction3;
        float step_size;       // lr / (1 - beta1^t)
        float diff_step_size;  // lr * beta2 / (1 - beta2^t)
        float eps;
        float prox_decay;     // lr * weight_decay / (1 + lr * weight_decay), or 0 with no_prox
        int32_t has_no_past;  // whether this is the tensor's first step
    };

    NOPT_HD static void advance(const StepInput& step, Clock& clock) {
        advance_decay_product(clock.running[kBeta1Product], step.values[kBeta1], step, clock);
        advance_decay_product(clock.running[kBeta2Product], step.values[kBeta2], step, clock);
        advance_decay_product(clock.running[kBeta3Product], step.values[kBeta3], step, clock);
    }

    NOPT_HD static Scalars scalars(const StepInput& step, const Clock& clock, double lr_scale, double weight_decay) {
        const double lr = step.values[kLr] * lr_scale;
        Scalars s;
        set_common(s, step, clock, lr_scale, weight_decay);
        const bool no_prox = (step.flags & kNoProx) != 0;
        s.decoupled = no_prox && weight_decay != 0.0;
        s.l2 = 0;
        s.beta1 = static_cast<float>(step.values[kBeta1]);
        s.one_minus_beta1 = static_cast<float>(1.0 - step.values[kBeta1]);
        s.beta2 = static_cast<float>(step.values[kBeta2]);
        s.one_minus_beta2 = static_cast<float>(1.0 - step.values[kBeta2]);
        s.beta3 = static_cast<float>(step.values[kBeta3]);
        s.one_minus_beta3 = static_cast<float>(1.0 - step.values[kBeta3]);
        s.inv_sqrt_bias_correction3 = static_cast<float>(1.0 / sqrt(1.0 - clock.running[kBeta3Product]));
        s.step_size = static_cast<float>(lr / (1.0 - clock.running[kBeta1Product]));
        s.diff_step_size = static_cast<float>(lr * step.values[kBeta2] / (1.0 - clock.running[kBeta2Product]));
        s.eps = static_cast<float>(step.values[kEps]);
        s.prox_decay = static_cast<float>(no_prox ? 0.0 : lr * weight_decay / (1.0 + lr * weight_decay));
        s.has_no_past = clock.step == 1;
        return s;
    }

    NOPT_HD static void update(Element& e, const Present&, const Scalars& s) {
        const float g = effective_grad(e, s);
        const float difference = s.has_no_past ? 0.0f : g - e.state[kPreGrad];
        const float exp_avg = s.beta1 * e.state[kExpAvg] + s.one_minus_beta1 * g;
        const float exp_avg_diff = s.beta2 * e.state[kExpAvgDiff] + s.one_minus_beta2 * difference;
        // With a beta2 of 0 the difference does not count in the update, even where it overflows.
        const float ahead_by = s.beta2 * difference;
        const float ahead = g + (s.beta2 == 0.0f ? 0.0f : ahead_by);
        const float exp_avg_sq = s.beta3 * e.state[kExpAvgSq] + s.one_minus_beta3 * (ahead * ahead);
        e.state[kExpAvg] = exp_avg;
        e.state[kExpAvgDiff] = exp_avg_diff;
        e.state[kExpAvgSq] = exp_avg_sq;
        e.state[kPreGrad] = g;
        const float denominator = NOPT_SQRTF(exp_avg_sq) * s.inv_sqrt_bias_correction3 + s.eps;
        const float by_diff = s.diff_step_size * exp_avg_diff;
        const float delta = (s.step_size * exp_avg + (s.diff_step_size == 0.0f ? 0.0f : by_diff)) / denominator;
        // x / (1 + y) = x - x * y / (1 + y), which loses nothing of a small y.
        const float decay = s.prox_decay * (e.param - delta);
        e.param = apply_update(e.param, delta + (s.prox_decay == 0.0f ? 0.0f : decay), s);
    }
};

}  // namespace nopt
