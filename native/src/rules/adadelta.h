// Adadelta (Zeiler 2012, arXiv 1212.5701, algorithm 1) as torch has it, with a learning rate.
#pragma once

#include "rules/rule.h"

namespace nopt {

struct Adadelta : RuleDefaults {
    enum Hyperparam {
        kRho = kFirstOwnHyperparam,
        kEps
    };
    enum State {
        kSquareAvg,
        kAccDelta
    };

    static constexpr const char* name = "adadelta";
    static constexpr const char* source =
        "Zeiler 2012, \"ADADELTA: an adaptive learning rate method\", arXiv 1212.5701, algorithm 1, as torch has it";
    static constexpr const char* equations =
        "v = rho v + (1 - rho) g^2; D = sqrt(a + eps) / sqrt(v + eps) * g; a = rho a + (1 - rho) D^2; theta -= lr * D";
    static constexpr HyperparamInfo hyperparams[] = {lr_info(1.0),
                                                     weight_decay_info(0.0),
                                                     {"rho", 0.9, kDecayRate, "Decay rate of both running averages."},
                                                     {"eps", 1e-6, kFloat, "Added to both under their roots."}};
    static constexpr uint32_t common_flags = NOPT_FLAG_MAXIMIZE;
    static constexpr StateInfo states[] = {
        {"square_avg", kUnsigned, kUpTo8Bits, "A running average v of the squared gradient."},
        {"acc_delta", kUnsigned, kUpTo8Bits, "A running average a of the squared updates, before the learning rate."}};
    static constexpr uint32_t variants[] = {0b11};

    struct Scalars : CommonScalars {
        float lr;
        float rho;
        float one_minus_rho;
        float eps;
    };

    NOPT_HD static void advance(const StepInput&, Clock&) {}

    NOPT_HD static Scalars scalars(const StepInput& step, const Clock& clock, double lr_scale, double weight_decay) {
        Scalars s;
        set_common(s, step, clock, lr_scale, weight_decay);
        s.lr = static_cast<float>(step.values[kLr] * lr_scale);
        s.rho = static_cast<float>(step.values[kRho]);
        s.one_minus_rho = static_cast<float>(1.0 - step.values[kRho]);
        s.eps = static_cast<float>(step.values[kEps]);
        return s;
    }

    NOPT_HD static void update(Element& e, const Present&, const Scalars& s) {
        const float g = effective_grad(e, s);
        const float square_avg = s.rho * e.state[kSquareAvg] + s.one_minus_rho * (g * g);
        // Two roots, since the root of the quotient would overflow where a square is small.
        const float delta = NOPT_SQRTF(e.state[kAccDelta] + s.eps) / NOPT_SQRTF(square_avg + s.eps) * g;
        e.state[kSquareAvg] = square_avg;
        e.state[kAccDelta] = s.rho * e.state[kAccDelta] + s.one_minus_rho * (delta * delta);
        e.param = apply_update(e.param, s.lr * delta, s);
    }
};

}  // namespace nopt
