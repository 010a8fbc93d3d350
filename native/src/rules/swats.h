// SWATS (Keskar & Socher 2017, arXiv 1712.07628, algorithm 1): Adam, then SGD with momentum. When a tensor switches,
// and to which learning rate, follows from sums over it, which the host computes between steps and writes into the
// running scalars.
#pragma once

#include "rules/rule.h"

namespace nopt {

struct Swats : RuleDefaults {
    enum Hyperparam {
        kBeta1 = kFirstOwnHyperparam,
        kBeta2,
        kEps
    };
    enum State {
        kExpAvg,
        kExpAvgSq,
        kMomentumBuffer
    };
    enum Running {
        kLambda,
        kSgd,
        kSgdLr
    };

    static constexpr const char* name = "swats";
    static constexpr const char* source =
        "Keskar & Socher 2017, \"Improving generalization performance by switching from Adam to SGD\", arXiv "
        "1712.07628, "
        "algorithm 1, each tensor by itself";
    static constexpr const char* equations =
        "while sgd is 0: m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2, theta += p with p = -lr * "
        "sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + eps); then b = beta1 b + g, theta -= (1 - beta1) * sgd_lr "
        "* b. "
        "The host sets lambda, sgd and sgd_lr after each step of the first kind, from p.p and p.g";
    static constexpr HyperparamInfo hyperparams[] = {
        lr_info(1e-3),
        weight_decay_info(0.0),
        {"beta1", 0.9, kDecayRate, "Decay rate of the first moment, and of the momentum buffer."},
        {"beta2", 0.999, kDecayRate, "Decay rate of the second moment, and of lambda."},
        {"eps", 1e-9, kFloat, "Added to the root of the second moment; the host's test compares with it, too."}};
    static constexpr uint32_t common_flags = NOPT_FLAG_MAXIMIZE;
    static constexpr StateInfo states[] = {
        {"exp_avg", kSigned, kUpTo16Bits, "First moment m: a running average of the gradient."},
        {"exp_avg_sq", kUnsigned, kUpTo16Bits, "Second moment v: a running average of the squared gradient."},
        {"momentum_buffer", kSigned, kUpTo8Bits,
         "Momentum b of the second kind of steps: a decaying sum of the gradients."}};
    static constexpr RunningInfo running[] = {
        {"lambda", 0.0, kAnyNumber, "A running average of the SGD learning rates that fit the steps."},
        {"sgd", 0.0, {0.0, 1.0, false, true}, "1 once the tensor has switched to SGD."},
        {"sgd_lr", 0.0, kAnyNumber, "The learning rate of SGD."}};
    static constexpr uint32_t variants[] = {0b111};

    struct Scalars : CommonScalars {
        float beta1;
        float one_minus_beta1;
        float beta2;
        float one_minus_beta2;
        float step_size;
        float eps;
        int32_t is_sgd;
    };

    NOPT_HD static void advance(const StepInput&, Clock&) {}

    NOPT_HD static Scalars scalars(const StepInput& step, const Clock& clock, double lr_scale, double weight_decay) {
        const double beta1 = step.values[kBeta1];
        const double beta2 = step.values[kBeta2];
        Scalars s;
        set_common(s, step, clock, lr_scale, weight_decay);
        s.beta1 = static_cast<float>(beta1);
        s.one_minus_beta1 = static_cast<float>(1.0 - beta1);
        s.beta2 = static_cast<float>(beta2);
        s.one_minus_beta2 = static_cast<float>(1.0 - beta2);
        s.eps = static_cast<float>(step.values[kEps]);
        s.is_sgd = clock.running[kSgd] != 0.0;
        s.step_size = static_cast<float>(clock.running[kSgd] != 0.0
                                             ? (1.0 - beta1) * clock.running[kSgdLr]
                                             : step.values[kLr] * lr_scale * sqrt(1.0 - power(beta2, clock.step)) /
                                                   (1.0 - power(beta1, clock.step)));
        return s;
    }

    NOPT_HD static void update(Element& e, const Present&, const Scalars& s) {
        const float g = effective_grad(e, s);
        const bool is_sgd = s.is_sgd != 0;
        const float exp_avg = s.beta1 * e.state[kExpAvg] + s.one_minus_beta1 * g;
        const float exp_avg_sq = s.beta2 * e.state[kExpAvgSq] + s.one_minus_beta2 * (g * g);
        const float buffer = s.beta1 * e.state[kMomentumBuffer] + g;
        const float direction = is_sgd ? buffer : exp_avg / (NOPT_SQRTF(exp_avg_sq) + s.eps);
        e.state[kExpAvg] = is_sgd ? e.state[kExpAvg] : exp_avg;
        e.state[kExpAvgSq] = is_sgd ? e.state[kExpAvgSq] : exp_avg_sq;
        e.state[kMomentumBuffer] = is_sgd ? buffer : e.state[kMomentumBuffer];
        e.param = apply_update(e.param, s.step_size * direction, s);
    }
};

}  // namespace nopt
