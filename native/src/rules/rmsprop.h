// RMSprop (Hinton 2012; centered: Graves 2013, arXiv 1308.0850) as torch has it.
#pragma once

#include "rules/rule.h"

namespace nopt {

struct RmsProp : RuleDefaults {
    enum Hyperparam {
        kAlpha = kFirstOwnHyperparam,
        kEps,
        kMomentum
    };
    enum State {
        kSquareAvg,
        kMomentumBuffer,
        kGradAvg
    };
    static constexpr uint32_t kCentered = own_flag(0);

    static constexpr const char* name = "rmsprop";
    static constexpr const char* source =
        "Tieleman & Hinton 2012, \"Neural networks for machine learning\", lecture 6.5; centered: Graves 2013, "
        "\"Generating sequences with recurrent neural networks\", arXiv 1308.0850; as torch has it";
    static constexpr const char* equations =
        "v = alpha v + (1 - alpha) g^2; w = v, with centered a = alpha a + (1 - alpha) g and w = max(v - a^2, 0); "
        "u = g / (sqrt(w) + eps); theta -= lr * u, with momentum b = momentum * b + u and theta -= lr * b";
    static constexpr HyperparamInfo hyperparams[] = {
        lr_info(1e-2),
        weight_decay_info(0.0),
        {"alpha", 0.99, kDecayRate, "Decay rate of the running averages."},
        {"eps", 1e-8, kFloat, "Added to the root of the second moment."},
        {"momentum", 0.0, kFloat, "Decay rate of the momentum buffer; 0 uses no buffer."}};
    static constexpr uint32_t common_flags = NOPT_FLAG_MAXIMIZE;
    static constexpr FlagInfo flags[] = {
        {"centered", "Normalises by the gradient's variance, and not by its second moment (Graves 2013)."}};
    // The averages are float32 alone: with centered, shorter ones would differ by noise, and eps alone be the
    // denominator.
    static constexpr StateInfo states[] = {
        {"square_avg", kUnsigned, kFloat32Only, "A running average v of the squared gradient."},
        {"momentum_buffer", kSigned, kUpTo8Bits, "Momentum b: a decaying sum of the updates.", 0, kMomentum},
        {"grad_avg", kSigned, kFloat32Only, "A running average a of the gradient.", kCentered}};
    static constexpr uint32_t variants[] = {0b001, 0b011, 0b101, 0b111};

    struct Scalars : CommonScalars {
        float lr;
        float alpha;
        float one_minus_alpha;
        float eps;
        float momentum;
    };

    NOPT_HD static void advance(const StepInput&, Clock&) {}

    NOPT_HD static Scalars scalars(const StepInput& step, const Clock& clock, double lr_scale, double weight_decay) {
        Scalars s;
        set_common(s, step, clock, lr_scale, weight_decay);
        s.lr = static_cast<float>(step.values[kLr] * lr_scale);
        s.alpha = static_cast<float>(step.values[kAlpha]);
        s.one_minus_alpha = static_cast<float>(1.0 - step.values[kAlpha]);
        s.eps = static_cast<float>(step.values[kEps]);
        s.momentum = static_cast<float>(step.values[kMomentum]);
        return s;
    }

    NOPT_HD static void update(Element& e, const Present& present, const Scalars& s) {
        const float g = effective_grad(e, s);
        const float square_avg = s.alpha * e.state[kSquareAvg] + s.one_minus_alpha * (g * g);
        e.state[kSquareAvg] = square_avg;
        float variance = square_avg;
        if (present.state(kGradAvg)) {
            const float grad_avg = s.alpha * e.state[kGradAvg] + s.one_minus_alpha * g;
            e.state[kGradAvg] = grad_avg;
            // Rounding can take the difference below 0, where torch's root is a NaN. A NaN of the gradient is kept.
            variance = square_avg - grad_avg * grad_avg;
            variance = 0.0f > variance ? 0.0f : variance;
        }
        float direction = g / (NOPT_SQRTF(variance) + s.eps);
        if (present.state(kMomentumBuffer)) {
            direction = s.momentum * e.state[kMomentumBuffer] + direction;
            e.state[kMomentumBuffer] = direction;
        }
        e.param = apply_update(e.param, s.lr * direction, s);
    }
};

}  // namespace nopt
