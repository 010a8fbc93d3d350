// Averaged stochastic gradient descent (Polyak & Juditsky 1992) as torch has it, after Bottou's code.
#pragma once

#include "numerics/functions.h"

namespace nopt {

struct Asgd : RuleDefaults {
    enum Hyperparam {
        kLambd = kFirstOwnHyperparam,
        kAlpha,
        kT0
    };
    enum State {
        kAx
    };
    enum Running {
        kEta,
        kMu
    };

    static constexpr const char* name = "asgd";
    static constexpr const char* source =
        "Polyak & Juditsky 1992, \"Acceleration of stochastic approximation by averaging\", as torch has it";
    static constexpr const char* equations =
        "eta = lr / (1 + lambd * lr * (t - 1))^alpha; theta = (1 - lambd * eta) theta - eta * g; "
        "mu = 1 / max(1, t - 1 - t0); ax = ax + mu (theta - ax)";
    static constexpr HyperparamInfo hyperparams[] = {
        lr_info(1e-2),
        weight_decay_info(0.0),
        {"lambd", 1e-4, kCoefficient, "How fast the learning rate and the parameters decay."},
        {"alpha", 0.75, kCoefficient, "The power by which the learning rate falls."},
        {"t0", 1e6, kCoefficient, "The step after which averaging starts."}};
    static constexpr uint32_t common_flags = NOPT_FLAG_MAXIMIZE;
    // In 16 bits the average would stop where its steps are below half the spacing of the numbers.
    static constexpr StateInfo states[] = {{"ax", kSigned, kFloat32Only, "The parameters' average."}};
    // Steps do not read these. They follow from t and the learning rate, of which each tensor has its own part.
    static constexpr RunningInfo running[] = {
        {"eta", 0.0, kLrRange, "The learning rate of the next step, for tensors that have no scale of their own."},
        {"mu", 1.0, kPart, "The weight of the next step's parameters in their average."}};
    static constexpr bool running_follow_from_count = true;
    static constexpr uint32_t variants[] = {0b1};

    struct Scalars : CommonScalars {
        float eta;
        float lambd_eta;
        float mu;
    };

    // Of the step after as many.
    NOPT_HD static double eta(const StepInput& step, double lr, int64_t steps) {
        const double decay = 1.0 + step.values[kLambd] * lr * static_cast<double>(steps);
        return lr / portable_pow(decay, step.values[kAlpha]);
    }
    NOPT_HD static double mu(const StepInput& step, int64_t steps) {
        const double averaged = static_cast<double>(steps) - step.values[kT0];
        return averaged > 1.0 ? 1.0 / averaged : 1.0;
    }

    NOPT_HD static void advance(const StepInput& step, Clock& clock) {
        clock.running[kEta] = eta(step, step.values[kLr], clock.step);
        clock.running[kMu] = mu(step, clock.step);
    }

    NOPT_HD static Scalars scalars(const StepInput& step, const Clock& clock, double lr_scale, double weight_decay) {
        const double now = eta(step, step.values[kLr] * lr_scale, clock.step - 1);
        Scalars s;
        set_common(s, step, clock, lr_scale, weight_decay);
        s.eta = static_cast<float>(now);
        s.lambd_eta = static_cast<float>(step.values[kLambd] * now);
        s.mu = static_cast<float>(mu(step, clock.step - 1));
        return s;
    }

    NOPT_HD static void update(Element& e, const Present&, const Scalars& s) {
        const float g = effective_grad(e, s);
        // 1 - lambd * eta rounded to float would lose most of a small product, as in apply_update.
        e.param = e.param - (s.lambd_eta * e.param + s.eta * g);
        e.state[kAx] = s.mu == 1.0f ? e.param : e.state[kAx] + s.mu * (e.param - e.state[kAx]);
    }
};

}  // namespace nopt
