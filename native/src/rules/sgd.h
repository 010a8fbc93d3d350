// Stochastic gradient descent with momentum and Nesterov's (Sutskever et al. 2013), as torch defines them.
#pragma once

#include "rules/rule.h"

namespace nopt {

struct Sgd : RuleDefaults {
    enum Hyperparam {
        kMomentum = kFirstOwnHyperparam,
        kDampening
    };
    enum State {
        kMomentumBuffer
    };
    static constexpr uint32_t kNesterov = own_flag(0);

    static constexpr const char* name = "sgd";
    static constexpr const char* source =
        "Sutskever et al. 2013, \"On the importance of initialization and momentum in deep learning\", as torch "
        "defines it";
    static constexpr const char* equations =
        "b = momentum * b + (1 - dampening) g, in the first step b = g; theta -= lr * b, with nesterov lr * (g + "
        "momentum * b), without momentum lr * g";
    static constexpr HyperparamInfo hyperparams[] = {
        lr_info(1e-3),
        weight_decay_info(0.0),
        {"momentum", 0.0, kFloat, "Decay rate of the momentum buffer; 0 uses no buffer."},
        {"dampening", 0.0, kPart, "How much less of a gradient enters the buffer, after the first step."}};
    static constexpr uint32_t common_flags = NOPT_FLAG_MAXIMIZE | NOPT_FLAG_DECOUPLED_WEIGHT_DECAY;
    static constexpr FlagInfo flags[] = {
        {"nesterov",
         "Nesterov momentum; needs momentum > 0 and no dampening (Sutskever et al. 2013; as torch defines it).",
         kMomentum, kDampening}};
    static constexpr StateInfo states[] = {
        {"momentum_buffer", kSigned, kUpTo8Bits, "Momentum b: a decaying sum of the gradients.", 0, kMomentum}};
    static constexpr uint32_t variants[] = {0b0, 0b1};

    struct Scalars : CommonScalars {
        float lr;
        float momentum;
        float weight;  // of the gradient in the buffer
        int32_t is_dampened;
        int32_t nesterov;
    };

    NOPT_HD static void advance(const StepInput&, Clock&) {}

    NOPT_HD static Scalars scalars(const StepInput& step, const Clock& clock, double lr_scale, double weight_decay) {
        Scalars s;
        set_common(s, step, clock, lr_scale, weight_decay);
        s.lr = static_cast<float>(step.values[kLr] * lr_scale);
        s.momentum = static_cast<float>(step.values[kMomentum]);
        s.weight = clock.step == 1 ? 1.0f : static_cast<float>(1.0 - step.values[kDampening]);
        s.is_dampened = s.weight != 1.0f;
        s.nesterov = (step.flags & kNesterov) != 0;
        return s;
    }

    NOPT_HD static void update(Element& e, const Present& present, const Scalars& s) {
        const float g = effective_grad(e, s);
        float direction = g;
        if (present.state(kMomentumBuffer)) {
            // From a zero buffer the first step gives g itself, as torch's first step does.
            const float buffer = s.momentum * e.state[kMomentumBuffer] + (s.is_dampened ? s.weight * g : g);
            e.state[kMomentumBuffer] = buffer;
            direction = s.nesterov ? g + s.momentum * buffer : buffer;
        }
        e.param = apply_update(e.param, s.lr * direction, s);
    }
};

}  // namespace nopt
