// Adagrad (Duchi et al. 2011) as torch has it: each element's step shrinks with the sum of its squared gradients.
#pragma once

#include "rules/rule.h"

namespace nopt {

struct Adagrad : RuleDefaults {
    enum Hyperparam {
        kLrDecay = kFirstOwnHyperparam,
        kInitialAccumulatorValue,
        kEps
    };
    enum State {
        kSum
    };

    static constexpr const char* name = "adagrad";
    static constexpr const char* source =
        "Duchi et al. 2011, \"Adaptive subgradient methods for online learning and stochastic optimization\", as torch "
        "has "
        "it";
    static constexpr const char* equations = "s = s + g^2; theta -= lr / (1 + (t - 1) lr_decay) * g / (sqrt(s) + eps)";
    static constexpr HyperparamInfo hyperparams[] = {
        lr_info(1e-2),
        weight_decay_info(0.0),
        {"lr_decay", 0.0, kCoefficient, "How fast the learning rate falls with the steps."},
        {"initial_accumulator_value", 0.0, kFloat, "What the sum of squares starts at."},
        {"eps", 1e-10, kFloat, "Added to the root of the sum."}};
    static constexpr uint32_t common_flags = NOPT_FLAG_MAXIMIZE;
    // In 16 bits, rounded to nearest, the sum would stop at a few hundred squares of the gradient.
    static constexpr StateInfo states[] = {{"sum", kUnsigned, kFloat32Only, "The sum s of the squared gradients.", 0,
                                            -1, 0.0, 0.0, kInitialAccumulatorValue}};
    static constexpr uint32_t variants[] = {0b1};

    struct Scalars : CommonScalars {
        float step_size;
        float eps;
    };

    NOPT_HD static void advance(const StepInput&, Clock&) {}

    NOPT_HD static Scalars scalars(const StepInput& step, const Clock& clock, double lr_scale, double weight_decay) {
        Scalars s;
        set_common(s, step, clock, lr_scale, weight_decay);
        const double decay = 1.0 + static_cast<double>(clock.step - 1) * step.values[kLrDecay];
        s.step_size = static_cast<float>(step.values[kLr] * lr_scale / decay);
        s.eps = static_cast<float>(step.values[kEps]);
        return s;
    }

    NOPT_HD static void update(Element& e, const Present&, const Scalars& s) {
        const float g = effective_grad(e, s);
        const float sum = e.state[kSum] + g * g;
        e.state[kSum] = sum;
        e.param = apply_update(e.param, s.step_size * (g / (NOPT_SQRTF(sum) + s.eps)), s);
    }
};

}  // namespace nopt
