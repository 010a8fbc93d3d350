// Rprop (Riedmiller & Braun 1993) as torch has it: step sizes that grow while the gradient keeps its sign; where the
// sign changes, the step shrinks and is left out. For whole batches: with the noise of small ones signs change by
// chance.
#pragma once

#include "rules/rule.h"

namespace nopt {

struct Rprop : RuleDefaults {
    enum Hyperparam {
        kEtaMinus = kFirstOwnHyperparam,
        kEtaPlus,
        kStepSizeMin,
        kStepSizeMax
    };
    enum State {
        kPrev,
        kStepSize
    };

    static constexpr const char* name = "rprop";
    static constexpr const char* source =
        "Riedmiller & Braun 1993, \"A direct adaptive method for faster backpropagation learning: the RPROP "
        "algorithm\", "
        "as torch has it";
    static constexpr const char* equations =
        "f = etaplus where g has the sign of the step before, etaminus where it has the other one, else 1; "
        "s = min(max(f s, step_size_min), step_size_max); g = 0 where f = etaminus; theta -= sign(g) s";
    static constexpr HyperparamInfo hyperparams[] = {
        {"lr", 1e-2, kLrRange, "What the step sizes start at."},
        weight_decay_info(0.0),
        {"etaminus", 0.5, kDecayRate, "What a step size is multiplied with where the gradient's sign changed."},
        {"etaplus", 1.2, {1.0, double{FLT_MAX}, false, false}, "What it is multiplied with where the sign stayed."},
        {"step_size_min", 1e-6, kFloat, "The smallest step size."},
        {"step_size_max", 50.0, kFloat, "The largest step size."}};
    static constexpr uint32_t common_flags = NOPT_FLAG_MAXIMIZE;
    static constexpr StateInfo states[] = {
        {"prev", kSigned, kUpTo16Bits, "The gradient of the tensor's step before; 0 where its sign had changed."},
        {"step_size", kUnsigned, kUpTo16Bits, "The step sizes s.", 0, -1, 0.0, 0.0, kLr}};
    static constexpr uint32_t variants[] = {0b11};

    struct Scalars : CommonScalars {
        float etaminus;
        float etaplus;
        float step_size_min;
        float step_size_max;
    };

    NOPT_HD static void advance(const StepInput&, Clock&) {}

    NOPT_HD static Scalars scalars(const StepInput& step, const Clock& clock, double lr_scale, double weight_decay) {
        Scalars s;
        set_common(s, step, clock, lr_scale, weight_decay);
        s.etaminus = static_cast<float>(step.values[kEtaMinus]);
        s.etaplus = static_cast<float>(step.values[kEtaPlus]);
        s.step_size_min = static_cast<float>(step.values[kStepSizeMin]);
        s.step_size_max = static_cast<float>(step.values[kStepSizeMax]);
        return s;
    }

    NOPT_HD static void update(Element& e, const Present&, const Scalars& s) {
        const float g = effective_grad(e, s);
        // The product of two signs does not underflow, as that of two gradients may.
        const float product = sign_of(g) * sign_of(e.state[kPrev]);
        const float grown = product > 0.0f ? s.etaplus : 1.0f;
        const float factor = product < 0.0f ? s.etaminus : grown;
        float size = e.state[kStepSize] * factor;
        size = s.step_size_min > size ? s.step_size_min : size;
        size = s.step_size_max < size ? s.step_size_max : size;
        e.state[kStepSize] = size;
        const float kept = product < 0.0f ? 0.0f : g;
        e.state[kPrev] = kept;
        e.param = apply_update(e.param, sign_of(kept) * size, s);
    }
};

}  // namespace nopt
