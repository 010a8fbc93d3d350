#include "api/step.h"

#include <math.h>

#include <algorithm>

#include "api/api.h"
#include "api/hyperparams.h"
#include "numerics/dtypes.h"

namespace nopt {
namespace {

// All groups need the same states, and round alike.
void require_like_group_0(const StepInput& input, const StepInput& first, int group) {
    const char* const differs =
        input.variant != first.variant ? "needs other states than group 0"
        : ((input.flags ^ first.flags) & kStochasticRounding) != 0 || input.rounding_seed != first.rounding_seed
            ? "rounds in another way than group 0 (stochastic_rounding, "
              "stochastic_rounding_states, rounding_seed)"
            : nullptr;
    if (differs != nullptr) {
        throw Error(NOPT_ERROR_UNSUPPORTED, "hyperparams[%d] %s; such tensors need an optimizer of their own", group,
                    differs);
    }
}

void require_bound(const ParamSet& set, const RuleInfo& info, nopt_role role, const char* kind, const char* name) {
    if (!set.bound(role)) {
        throw Error(NOPT_ERROR_MISSING_ROLE,
                    "rule \"%s\" with these options needs %s %s (role %d); bind it with nopt_param_set_bind", info.name,
                    kind, name, static_cast<int>(role));
    }
}

void require_state_types(const ParamSet& set, const RuleInfo& info, int state) {
    const std::vector<nopt_dtype>& types = set.types[state_role(state)];
    for (size_t i = 0; i < types.size(); ++i) {
        if ((info.states[state].dtypes >> types[i] & 1u) == 0) {
            throw Error(NOPT_ERROR_UNSUPPORTED,
                        "state %s of tensor %zu is %s, which rule \"%s\" does not allow for it; see nopt_state_info",
                        info.states[state].name, i, dtype_info(types[i]).name, info.name);
        }
    }
}

// A state that a step does without for now counts, too: SGD's momentum may be turned off for a while.
void require_rounded_states(const ParamSet& set, const RuleInfo& info) {
    for (int i = 0; i < info.states.count; ++i) {
        const std::vector<nopt_dtype>& types = set.types[state_role(i)];
        if (std::find(types.begin(), types.end(), NOPT_DTYPE_BFLOAT16) != types.end()) {
            return;
        }
    }
    throw Error(NOPT_ERROR_UNSUPPORTED,
                "flags has stochastic_rounding_states, but no state is bfloat16; see nopt_param_set_set_dtypes");
}

// Whether these hyperparameters have been checked, and nothing that the checks read has changed since.
bool are_checked(const OptimizerState& optimizer, const nopt_hyperparams* hyperparams) {
    if (optimizer.checked_version != optimizer.set->version ||
        checked_struct_size(hyperparams, "hyperparams") != sizeof *hyperparams) {
        return false;
    }
    const size_t groups = static_cast<size_t>(optimizer.group_count());
    return memcmp(hyperparams, optimizer.checked.data(), sizeof *hyperparams * groups) == 0;
}

// Fills inputs with all that is the same in the next steps.
void check_step(OptimizerState& optimizer, const nopt_hyperparams* hyperparams) {
    const Rule& rule = optimizer.rule_info();
    const ParamSet& set = *optimizer.set;
    std::vector<StepInput>& inputs = optimizer.inputs;
    optimizer.checked_version = OptimizerState::kUnchecked;
    for (int g = 0; g < optimizer.group_count(); ++g) {
        const size_t group = static_cast<size_t>(g);
        const nopt_hyperparams h = read_hyperparams(optimizer, hyperparams, g);
        StepInput& input = inputs[group];
        memcpy(input.values, h.values, sizeof input.values);
        if (h.values[kLr] == NOPT_LR_ON_DEVICE && optimizer.counter == nullptr) {
            input.values[kLr] = optimizer.lr[group];
        }
        input.flags = h.flags;
        input.variant = static_cast<uint32_t>(rule.variant_of(rule.states_of(h.flags, h.values)));
        input.rounding_seed = h.rounding_seed;
        input.grad_factor = 1.0;
        input.max_grad = static_cast<double>(INFINITY);
        require_like_group_0(input, inputs[0], g);
        optimizer.checked[group] = h;
    }
    require_bound(set, rule.info, NOPT_ROLE_PARAM, "role", "PARAM");
    require_bound(set, rule.info, NOPT_ROLE_GRAD, "role", "GRAD");
    const uint32_t states = rule.info.variants[static_cast<int>(inputs[0].variant)];
    for (int i = 0; i < rule.info.states.count; ++i) {
        if ((states >> i & 1u) != 0) {
            require_bound(set, rule.info, state_role(i), "state", rule.info.states[i].name);
            require_state_types(set, rule.info, i);
        }
    }
    if ((inputs[0].flags & NOPT_FLAG_STOCHASTIC_ROUNDING_STATES) != 0) {
        require_rounded_states(set, rule.info);
    }
    // The learning rate of a capturable optimizer may change without any of this changing.
    optimizer.checked_version = optimizer.capturable ? OptimizerState::kUnchecked : set.version;
}

[[noreturn]] void throw_lacks_group(const OptimizerState& optimizer) {
    const ParamSet& set = *optimizer.set;
    const auto lacking = std::find_if(set.group.begin(), set.group.end(),
                                      [&](int32_t group) { return group >= optimizer.group_count(); });
    throw Error(NOPT_ERROR_INVALID_STATE,
                "tensor %td is in group %d, but the optimizer has %d; call nopt_optimizer_set_group_count",
                lacking - set.group.begin(), *lacking, optimizer.group_count());
}

// Brings the clocks up to date with the set. Throws if a tensor is in a group that the optimizer lacks.
void follow_clocks(OptimizerState& optimizer) {
    optimizer.clocks.follow(*optimizer.set);
    if (!optimizer.clocks.has_all_groups()) {
        throw_lacks_group(optimizer);
    }
}

}  // namespace

GradInput prepare_grads(const OptimizerState& optimizer) {
    GradInput grads = optimizer.grad_input;
    if (grads.skips != 0 && optimizer.set->kind == NOPT_BACKEND_CUDA && optimizer.counter == nullptr) {
        throw Error(NOPT_ERROR_INVALID_STATE,
                    "NOPT_GRAD_SKIP_NONFINITE on CUDA: the device decides, so it has to count the steps; call "
                    "nopt_optimizer_set_capturable first");
    }
    if (grads.loss_scale == NOPT_LOSS_SCALE_ON_DEVICE) {
        if (!optimizer.has_loss_scale) {
            throw Error(NOPT_ERROR_INVALID_STATE,
                        "the loss scale is NOPT_LOSS_SCALE_ON_DEVICE (-1), but none was set; call "
                        "nopt_optimizer_set_loss_scale of a capturable optimizer first");
        }
        grads.loss_scale = optimizer.counter == nullptr ? optimizer.loss_scale : grads.loss_scale;
    }
    return grads;
}

void follow_set(OptimizerState& optimizer) {
    follow_clocks(optimizer);
    optimizer.cohorts.follow(*optimizer.set, optimizer.clocks);
}

void begin_passes(OptimizerState& optimizer, void* stream) {
    follow_set(optimizer);
    optimizer.set->backend.begin(optimizer, stream);
}

// prepare_step and run_step, inlined into the call that most steps are: it makes that call 60 of 630 instructions
// shorter.
namespace {

NOPT_HD GradInput prepare(OptimizerState& optimizer, const nopt_hyperparams* hyperparams) {
    const GradInput grads = optimizer.grads == nullptr ? kNoGradInput : prepare_grads(optimizer);
    if (!are_checked(optimizer, hyperparams)) {
        check_step(optimizer, hyperparams);
    }
    follow_clocks(optimizer);
    if (optimizer.counter == nullptr) {
        optimizer.clocks.require_can_step();
    }
    return grads;
}

NOPT_HD void run(OptimizerState& optimizer, const GradInput& grad_input, const DimerPass* dimer, void* stream) {
    ParamSet& set = *optimizer.set;
    const Rule& rule = optimizer.rule_info();
    StepCounter* const counter = optimizer.counter.get();
    if (dimer == nullptr) {
        optimizer.cohorts.follow(set, optimizer.clocks);
        set.backend.begin(optimizer, stream);
    }
    if (counter == nullptr) {
        optimizer.clocks.prepare(rule, optimizer.inputs.data());
    }
    StepPlan plan = {optimizer.rule,
                     optimizer.inputs.data(),
                     optimizer.clocks,
                     optimizer.cohorts,
                     optimizer.data.get(),
                     counter,
                     nullptr,
                     dimer};
    bool taken = true;
    if (optimizer.grads != nullptr) {
        if (needs_sum(grad_input) && !optimizer.grads_are_summed && dimer == nullptr) {
            set.backend.sum_grads(set, *optimizer.grads, stream);
        }
        optimizer.grads_are_summed = false;
        const GradPass grads = {*optimizer.grads, grad_input};
        plan.grads = &grads;
        taken = set.backend.step(set, plan, stream);
    } else if (set.total > 0 || counter != nullptr) {
        taken = set.backend.step(set, plan, stream);
    }
    if (counter == nullptr && taken) {
        optimizer.clocks.commit();
    }
}

}  // namespace

GradInput prepare_step(OptimizerState& optimizer, const nopt_hyperparams* hyperparams) {
    return prepare(optimizer, hyperparams);
}

void run_step(OptimizerState& optimizer, const GradInput& grads, const DimerPass* dimer, void* stream) {
    run(optimizer, grads, dimer, stream);
}

}  // namespace nopt

using namespace nopt;

extern "C" {

nopt_status nopt_optimizer_step(nopt_optimizer* optimizer, const nopt_hyperparams* hyperparams, void* stream) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        ParamSet& set = *optimizer->state->set;
        const UseGuard guard(set);
        check_stream(set.kind, stream);
        if (set.displaced_by != nullptr) {
            throw Error(NOPT_ERROR_INVALID_STATE,
                        "a dimer has displaced the parameters; call its nopt_dimer_step or nopt_dimer_restore");
        }
        run(*optimizer->state, prepare(*optimizer->state, hyperparams), nullptr, stream);
    });
}

}  // extern "C"
