// Stochastic gradient descent with momentum and Nesterov's (Sutskever et al. 2013), as torch defines them, dampening 0.
#pragma once

#include "rules/rule.h"

namespace nopt {

struct Sgd {
    static constexpr RuleTraits traits = {"sgd",
                                          NOPT_FLAG_MAXIMIZE | NOPT_FLAG_DECOUPLED_WEIGHT_DECAY | NOPT_FLAG_NESTEROV,
                                          NOPT_HYPERPARAM_MOMENTUM,
                                          {sizeof(nopt_hyperparams), 0, 1e-3, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0}};

    NOPT_HD static constexpr StateRoles states(int variant) {
        return {variant == 1 ? 1 : 0, {NOPT_ROLE_MOMENTUM_BUFFER}};
    }

    static int variant(uint32_t, double momentum) { return momentum > 0.0 ? 1 : 0; }

    struct Scalars {
        CommonScalars common;
        float lr;
        float momentum;
        int32_t nesterov;
    };

    template <class AnyScalars>
    NOPT_HD static auto& common(AnyScalars& s) {
        return s.common;
    }

    NOPT_HD static Scalars scalars(const StepInput& step, double lr_scale, double weight_decay) {
        Scalars s;
        s.common = common_scalars(step, lr_scale, weight_decay);
        s.lr = static_cast<float>(step.lr * lr_scale);
        s.momentum = static_cast<float>(step.momentum);
        s.nesterov = (step.flags & NOPT_FLAG_NESTEROV) != 0;
        return s;
    }

    template <int Variant>
    NOPT_HD static void update(float& param, float grad, float (&state)[kMaxStates], const Scalars& s) {
        const float g = effective_grad(param, grad, s.common);
        float direction = g;
        if (Variant == 1) {
            // From a zero buffer the first step gives g itself, as torch's first step does.
            const float buffer = s.momentum * state[0] + g;
            state[0] = buffer;
            direction = s.nesterov ? g + s.momentum * buffer : buffer;
        }
        param = apply_update(param, s.lr * direction, s.common);
    }
};

}  // namespace nopt
