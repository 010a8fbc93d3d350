#include <inttypes.h>
#include <math.h>

#include <algorithm>
#include <iterator>

#include "api/api.h"
#include "api/step.h"
#include "rules/registry.h"

using namespace nopt;

namespace {

const Rule& named_rule(const char* name, int* index) {
    require_not_null(name, "rule");
    *index = find_rule(name);
    if (*index < 0) {
        char known[256] = "";
        for (int i = 0; i < kRuleCount; ++i) {
            const size_t used = strlen(known);
            snprintf(known + used, sizeof known - used, "%s%s", i == 0 ? "" : ", ", rule_at(i).traits.name);
        }
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "rule is \"%.64s\"; the rules are %s", name, known);
    }
    return rule_at(*index);
}

void check_beta(double value, const char* name) {
    if (!(value >= 0.0 && value < 1.0)) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "%s is %g; it must be in [0, 1)", name, value);
    }
}

// A hyperparameter that the rule does not read must be 0, so that none is silently ignored.
void check_unread(bool read, double value, const char* name, const char* rule) {
    if (!read && value != 0.0) {
        throw Error(NOPT_ERROR_UNSUPPORTED, "%s is %g, but rule \"%s\" does not read it; leave it 0", name, value,
                    rule);
    }
}

const char* flag_name(uint32_t flag) {
    switch (flag) {
        case NOPT_FLAG_AMSGRAD:
            return "NOPT_FLAG_AMSGRAD";
        case NOPT_FLAG_MAXIMIZE:
            return "NOPT_FLAG_MAXIMIZE";
        case NOPT_FLAG_DECOUPLED_WEIGHT_DECAY:
            return "NOPT_FLAG_DECOUPLED_WEIGHT_DECAY";
        case NOPT_FLAG_NESTEROV:
            return "NOPT_FLAG_NESTEROV";
        case NOPT_FLAG_INVERSE_EPSILON:
            return "NOPT_FLAG_INVERSE_EPSILON";
        case NOPT_FLAG_STOCHASTIC_ROUNDING:
            return "NOPT_FLAG_STOCHASTIC_ROUNDING";
        default:
            return "an unknown flag";
    }
}

nopt_hyperparams checked_hyperparams(const OptimizerState& optimizer, const nopt_hyperparams* argument, int group) {
    const nopt_hyperparams h = read_struct(argument, "hyperparams");
    const RuleTraits& traits = rule_at(optimizer.rule).traits;
    const uint32_t unknown = h.flags & ~(traits.flags | NOPT_FLAG_STOCHASTIC_ROUNDING);
    for (uint32_t flag = 1; unknown != 0 && flag != 0; flag <<= 1) {
        if ((unknown & flag) != 0) {
            throw Error(NOPT_ERROR_UNSUPPORTED, "flags has %s (%u), which rule \"%s\" does not know", flag_name(flag),
                        flag, traits.name);
        }
    }
    if (h.lr != NOPT_LR_ON_DEVICE) {
        check_at_least_0(h.lr, "lr");
    } else if (!optimizer.capturable) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                    "lr is -1; it must be >= 0, or NOPT_LR_ON_DEVICE (-1) of a capturable optimizer, see "
                    "nopt_optimizer_set_capturable");
    } else if (!optimizer.has_lr[group]) {
        throw Error(NOPT_ERROR_INVALID_STATE,
                    "lr is NOPT_LR_ON_DEVICE (-1), but none was set; call nopt_optimizer_set_lr first");
    }
    check_beta(h.beta1, "beta1");
    check_beta(h.beta2, "beta2");
    check_at_least_0(h.eps, "eps");
    check_at_least_0(h.weight_decay, "weight_decay");
    check_at_least_0(h.momentum, "momentum");
    check_at_least_0(h.switching_rate, "switching_rate");
    const bool reads_betas = (traits.hyperparams & NOPT_HYPERPARAM_BETAS_EPS) != 0;
    check_unread(reads_betas, h.beta1, "beta1", traits.name);
    check_unread(reads_betas, h.beta2, "beta2", traits.name);
    check_unread(reads_betas, h.eps, "eps", traits.name);
    check_unread((traits.hyperparams & NOPT_HYPERPARAM_MOMENTUM) != 0, h.momentum, "momentum", traits.name);
    check_unread((traits.hyperparams & NOPT_HYPERPARAM_SWITCHING_RATE) != 0, h.switching_rate, "switching_rate",
                 traits.name);
    if ((h.flags & NOPT_FLAG_NESTEROV) != 0 && h.momentum == 0.0) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "flags has NOPT_FLAG_NESTEROV, which needs momentum > 0");
    }
    if ((h.flags & NOPT_FLAG_STOCHASTIC_ROUNDING) == 0) {
        if (h.rounding_seed != 0) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                        "rounding_seed is %" PRIu64 ", but flags has no NOPT_FLAG_STOCHASTIC_ROUNDING; leave it 0",
                        h.rounding_seed);
        }
    } else if (!optimizer.set->has_bare_bfloat16()) {
        throw Error(NOPT_ERROR_UNSUPPORTED,
                    "flags has NOPT_FLAG_STOCHASTIC_ROUNDING, but the set has no bfloat16 tensor without MASTER_PARAM "
                    "or PARAM_REMAINDER");
    }
    return h;
}

void check_above_0(bool used, double value, double largest, const char* name, const char* flag) {
    if (!used && value != 0.0) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "options->%s is %g, but flags has no %s; leave it 0", name, value,
                    flag);
    }
    if (used && !(value > 0.0 && value <= largest)) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT, "options->%s is %g; it must be > 0 and finite%s", name, value,
                    largest == double{FLT_MAX} ? " as a float" : "");
    }
}

GradInput read_grad_options(const nopt_grad_options* options) {
    const nopt_grad_options o = read_struct(options, "options");
    constexpr uint32_t kKnown = NOPT_GRAD_CLIP_NORM | NOPT_GRAD_CLIP_VALUE | NOPT_GRAD_SKIP_NONFINITE;
    if ((o.flags & ~kKnown) != 0) {
        throw Error(NOPT_ERROR_UNSUPPORTED, "options->flags is %u; it must be a sum of nopt_grad_flag values", o.flags);
    }
    check_above_0((o.flags & NOPT_GRAD_CLIP_NORM) != 0, o.max_norm, DBL_MAX, "max_norm", "NOPT_GRAD_CLIP_NORM");
    check_above_0((o.flags & NOPT_GRAD_CLIP_VALUE) != 0, o.max_value, FLT_MAX, "max_value", "NOPT_GRAD_CLIP_VALUE");
    if (o.loss_scale != NOPT_LOSS_SCALE_ON_DEVICE) {
        check_above_0(o.loss_scale != 0.0, o.loss_scale, DBL_MAX, "loss_scale", "");
    }
    return {o.max_norm, o.max_value, o.loss_scale == 0.0 ? 1.0 : o.loss_scale,
            (o.flags & NOPT_GRAD_SKIP_NONFINITE) != 0 ? 1 : 0};
}

// All groups need the same states, and round alike.
void require_like_group_0(const StepInput& input, const StepInput& first, int group) {
    const char* const differs = input.variant != first.variant
                                    ? "needs other states than group 0 (AMSGRAD, or momentum)"
                                : ((input.flags ^ first.flags) & NOPT_FLAG_STOCHASTIC_ROUNDING) != 0 ||
                                        input.rounding_seed != first.rounding_seed
                                    ? "rounds in another way than group 0 (STOCHASTIC_ROUNDING, rounding_seed)"
                                    : nullptr;
    if (differs != nullptr) {
        throw Error(NOPT_ERROR_UNSUPPORTED, "hyperparams[%d] %s; such tensors need an optimizer of their own", group,
                    differs);
    }
}

void require_groups(const ParamSet& set, int group_count) {
    for (size_t i = 0; i < set.group.size(); ++i) {
        if (set.group[i] >= group_count) {
            throw Error(NOPT_ERROR_INVALID_STATE,
                        "tensor %zu is in group %d, but the optimizer has %d; call nopt_optimizer_set_group_count", i,
                        set.group[i], group_count);
        }
    }
}

constexpr nopt_step_state kNewState = {sizeof(nopt_step_state), 0, 0, 1.0, 1.0};

void check_group(const OptimizerState& optimizer, int32_t group) {
    if (group < 0 || group >= optimizer.group_count) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                    "group is %d; the optimizer has %d, see nopt_optimizer_set_group_count", group,
                    optimizer.group_count);
    }
}

void write_state(OptimizerState& optimizer, int32_t group, const nopt_step_state& state) {
    if (optimizer.counter != nullptr) {
        optimizer.counter->write(group, state);
    } else {
        optimizer.states[group] = state;
    }
}

}  // namespace

namespace nopt {

nopt_hyperparams read_hyperparams(const OptimizerState& optimizer, const nopt_hyperparams* hyperparams, int group) {
    if (optimizer.group_count == 1) {
        return checked_hyperparams(optimizer, hyperparams, 0);
    }
    const size_t size = checked_struct_size(hyperparams, "hyperparams");
    const unsigned char* const own = reinterpret_cast<const unsigned char*>(hyperparams) + size * group;
    uint32_t own_size;
    memcpy(&own_size, own, sizeof own_size);
    if (own_size != size) {
        throw Error(NOPT_ERROR_INVALID_ARGUMENT,
                    "hyperparams[%d].struct_size is %u, but hyperparams[0].struct_size %zu", group, own_size, size);
    }
    try {
        return checked_hyperparams(optimizer, reinterpret_cast<const nopt_hyperparams*>(own), group);
    } catch (const Error& error) {
        throw Error(error.status, "hyperparams[%d]: %s", group, error.text);
    }
}

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

namespace {

// Whether these hyperparameters have been checked, and nothing that the checks read has changed since. Of a capturable
// optimizer the learning rate may have.
bool are_checked(const OptimizerState& optimizer, const nopt_hyperparams* hyperparams) {
    return optimizer.checked_version == optimizer.set->version &&
           checked_struct_size(hyperparams, "hyperparams") == sizeof *hyperparams &&
           memcmp(hyperparams, optimizer.checked, sizeof *hyperparams * static_cast<size_t>(optimizer.group_count)) ==
               0;
}

bool reads_betas(const OptimizerState& optimizer) {
    return (rule_at(optimizer.rule).traits.hyperparams & NOPT_HYPERPARAM_BETAS_EPS) != 0;
}

// Fills inputs with all that is the same in the next steps.
void check_step(OptimizerState& optimizer, const nopt_hyperparams* hyperparams) {
    const Rule& rule = rule_at(optimizer.rule);
    StepInputs& inputs = optimizer.inputs;
    optimizer.checked_version = OptimizerState::kUnchecked;
    inputs.count = optimizer.group_count;
    for (int g = 0; g < optimizer.group_count; ++g) {
        const nopt_hyperparams h = read_hyperparams(optimizer, hyperparams, g);
        StepInput& input = inputs.of[g];
        input.lr = h.lr == NOPT_LR_ON_DEVICE && optimizer.counter == nullptr ? optimizer.lr[g] : h.lr;
        input.beta1 = h.beta1;
        input.beta2 = h.beta2;
        input.eps = h.eps;
        input.weight_decay = h.weight_decay;
        input.momentum = h.momentum;
        input.switching_rate = h.switching_rate;
        input.flags = h.flags;
        input.variant = static_cast<uint32_t>(rule.variant(h.flags, h.momentum));
        input.rounding_seed = h.rounding_seed;
        input.grad_factor = 1.0;
        input.max_grad = static_cast<double>(INFINITY);
        require_like_group_0(input, inputs.of[0], g);
        optimizer.checked[g] = h;
    }
    require_groups(*optimizer.set, optimizer.group_count);
    const StateRoles& states = rule.states[inputs.of[0].variant];
    for (int i = -2; i < states.count; ++i) {
        const nopt_role role = i == -2 ? NOPT_ROLE_PARAM : i == -1 ? NOPT_ROLE_GRAD : states.roles[i];
        if (!optimizer.set->bound(role)) {
            throw Error(NOPT_ERROR_MISSING_ROLE,
                        "rule \"%s\" with these options needs role %s; bind it with nopt_param_set_bind",
                        rule.traits.name, role_name(role));
        }
    }
    optimizer.checked_version = optimizer.capturable ? OptimizerState::kUnchecked : optimizer.set->version;
}

}  // namespace

PreparedStep prepare_step(OptimizerState& optimizer, const nopt_hyperparams* hyperparams) {
    PreparedStep step;
    step.inputs = &optimizer.inputs;
    step.grads = prepare_grads(optimizer);
    if (!are_checked(optimizer, hyperparams)) {
        check_step(optimizer, hyperparams);
    }
    for (int g = 0; g < optimizer.group_count; ++g) {
        nopt_step_state next = optimizer.states[g];  // not stored before the step is on its way
        advance(next, optimizer.inputs.of[g], reads_betas(optimizer));
    }
    return step;
}

void run_step(OptimizerState& optimizer, const PreparedStep& step, const DimerPass* dimer, void* stream) {
    ParamSet& set = *optimizer.set;
    StepCounter* const counter = optimizer.counter.get();
    if (dimer == nullptr) {
        set.backend.begin(set, counter, stream);
    }
    bool taken = true;
    if (optimizer.grads != nullptr) {
        if (needs_sum(step.grads) && !optimizer.grads_are_summed && dimer == nullptr) {
            set.backend.sum_grads(set, *optimizer.grads, stream);
        }
        optimizer.grads_are_summed = false;
        const GradPass grads = {*optimizer.grads, step.grads};
        taken = set.backend.step(set, optimizer.rule, *step.inputs, counter, &grads, dimer, stream);
    } else if (set.total > 0 || counter != nullptr) {
        set.backend.step(set, optimizer.rule, *step.inputs, counter, nullptr, dimer, stream);
    }
    if (counter == nullptr && taken) {
        // As in prepare_step. (In place: a copy of what was just written in parts waited for these, 4 ns of 38.)
        for (int g = 0; g < optimizer.group_count; ++g) {
            advance(optimizer.states[g], optimizer.inputs.of[g], reads_betas(optimizer));
        }
    }
}

}  // namespace nopt

extern "C" {

int32_t nopt_rule_count(void) { return kRuleCount; }

nopt_status nopt_rule_get_info(int32_t index, nopt_rule_info* info) {
    return guarded([&] {
        if (index < 0 || index >= kRuleCount) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "index is %d; nopt_rule_count() is %d", index, int{kRuleCount});
        }
        const RuleTraits& traits = rule_at(index).traits;
        nopt_rule_info value = {};
        value.flags = traits.flags;
        value.hyperparams = traits.hyperparams;
        copy_text(value.name, traits.name);
        write_struct(info, value, "info");
    });
}

nopt_status nopt_rule_get_defaults(const char* rule, nopt_hyperparams* hyperparams) {
    return guarded([&] {
        int index;
        write_struct(hyperparams, named_rule(rule, &index).traits.defaults, "hyperparams");
    });
}

nopt_status nopt_optimizer_create(nopt_param_set* set, const char* rule, nopt_optimizer** optimizer) {
    return guarded([&] {
        require_not_null(set, "set");
        require_not_null(optimizer, "optimizer");
        int index;
        named_rule(rule, &index);
        auto state = std::make_shared<OptimizerState>();
        state->set = set->set;
        state->rule = index;
        std::fill(std::begin(state->states), std::end(state->states), kNewState);
        *optimizer = new nopt_optimizer{std::move(state)};
    });
}

nopt_status nopt_optimizer_destroy(nopt_optimizer* optimizer) {
    return guarded([&] { delete optimizer; });
}

nopt_status nopt_optimizer_get_roles(const nopt_optimizer* optimizer, const nopt_hyperparams* hyperparams,
                                     uint32_t* role_mask) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        require_not_null(role_mask, "role_mask");
        const Rule& rule = rule_at(optimizer->state->rule);
        const nopt_hyperparams h = read_hyperparams(*optimizer->state, hyperparams, 0);
        const StateRoles& states = rule.states[rule.variant(h.flags, h.momentum)];
        uint32_t mask = 1u << NOPT_ROLE_PARAM | 1u << NOPT_ROLE_GRAD;
        for (int i = 0; i < states.count; ++i) {
            mask |= 1u << states.roles[i];
        }
        *role_mask = mask;
    });
}

nopt_status nopt_optimizer_get_state(const nopt_optimizer* optimizer, nopt_step_state* state) {
    return nopt_optimizer_get_group_state(optimizer, 0, state);
}

nopt_status nopt_optimizer_get_group_state(const nopt_optimizer* optimizer, int32_t group, nopt_step_state* state) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        const OptimizerState& own = *optimizer->state;
        const UseGuard guard(*own.set);
        check_group(own, group);
        write_struct(state, own.counter != nullptr ? own.counter->read(group) : own.states[group], "state");
    });
}

nopt_status nopt_optimizer_set_state(nopt_optimizer* optimizer, const nopt_step_state* state) {
    return nopt_optimizer_set_group_state(optimizer, 0, state);
}

nopt_status nopt_optimizer_set_group_state(nopt_optimizer* optimizer, int32_t group, const nopt_step_state* state) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        const nopt_step_state s = read_struct(state, "state");
        if (s.reserved != 0) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "state->reserved is %u; it must be 0", s.reserved);
        }
        if (s.step < 0) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "state->step is %" PRId64 "; it must be 0 or more", s.step);
        }
        const double products[] = {s.beta1_product, s.beta2_product};
        for (int i = 0; i < 2; ++i) {
            if (!(products[i] >= 0.0 && products[i] <= 1.0)) {
                throw Error(NOPT_ERROR_INVALID_ARGUMENT, "state->beta%d_product is %g; it must be in [0, 1]", i + 1,
                            products[i]);
            }
        }
        OptimizerState& own = *optimizer->state;
        const UseGuard guard(*own.set);
        check_group(own, group);
        write_state(own, group, s);
    });
}

nopt_status nopt_optimizer_set_group_count(nopt_optimizer* optimizer, int32_t group_count) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        if (group_count < 1 || group_count > NOPT_MAX_GROUPS) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "group_count is %d; it must be 1 to %d", group_count,
                        NOPT_MAX_GROUPS);
        }
        OptimizerState& own = *optimizer->state;
        const UseGuard guard(*own.set);
        for (int32_t g = own.group_count; g < group_count; ++g) {
            write_state(own, g, kNewState);
            own.has_lr[g] = false;
        }
        own.group_count = group_count;
        own.checked_version = OptimizerState::kUnchecked;
    });
}

nopt_status nopt_optimizer_set_capturable(nopt_optimizer* optimizer, int32_t capturable, void* stream) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        if (capturable != 0 && capturable != 1) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "capturable is %d; it must be 0 or 1", capturable);
        }
        OptimizerState& own = *optimizer->state;
        ParamSet& set = *own.set;
        const UseGuard guard(set);
        check_stream(set.kind, stream);
        if (own.capturable == (capturable != 0)) {
            return;
        }
        set.backend.stream_synchronize(set.device, stream);
        if (capturable != 0) {
            own.counter = set.backend.create_step_counter(set.device);
        }
        for (int32_t g = 0; own.counter != nullptr && g < own.group_count; ++g) {
            if (capturable != 0) {
                own.counter->write(g, own.states[g]);
            } else {
                own.states[g] = own.counter->read(g);
            }
        }
        if (capturable == 0) {
            own.counter.reset();
        }
        own.capturable = capturable != 0;
        std::fill(std::begin(own.has_lr), std::end(own.has_lr), false);
        own.has_loss_scale = false;
    });
}

nopt_status nopt_optimizer_set_lr(nopt_optimizer* optimizer, double lr, void* stream) {
    return nopt_optimizer_set_group_lr(optimizer, 0, lr, stream);
}

nopt_status nopt_optimizer_set_group_lr(nopt_optimizer* optimizer, int32_t group, double lr, void* stream) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        check_at_least_0(lr, "lr");
        OptimizerState& own = *optimizer->state;
        const UseGuard guard(*own.set);
        check_group(own, group);
        check_stream(own.set->kind, stream);
        if (!own.capturable) {
            throw Error(NOPT_ERROR_INVALID_STATE,
                        "nopt_optimizer_set_lr: the optimizer is not capturable; call nopt_optimizer_set_capturable "
                        "first, or pass the learning rate with each step");
        }
        if (own.counter != nullptr) {
            own.counter->set_lr(group, lr, stream);
        }
        own.lr[group] = lr;
        own.has_lr[group] = true;
    });
}

nopt_status nopt_optimizer_set_loss_scale(nopt_optimizer* optimizer, double loss_scale, void* stream) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        if (!(loss_scale > 0.0 && loss_scale <= DBL_MAX)) {
            throw Error(NOPT_ERROR_INVALID_ARGUMENT, "loss_scale is %g; it must be > 0 and finite", loss_scale);
        }
        OptimizerState& own = *optimizer->state;
        const UseGuard guard(*own.set);
        check_stream(own.set->kind, stream);
        if (!own.capturable) {
            throw Error(NOPT_ERROR_INVALID_STATE,
                        "nopt_optimizer_set_loss_scale: the optimizer is not capturable; call "
                        "nopt_optimizer_set_capturable first, or set nopt_grad_options.loss_scale");
        }
        if (own.counter != nullptr) {
            own.counter->set_loss_scale(loss_scale, stream);
        }
        own.loss_scale = loss_scale;
        own.has_loss_scale = true;
    });
}

nopt_status nopt_optimizer_set_grad_options(nopt_optimizer* optimizer, const nopt_grad_options* options) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        OptimizerState& own = *optimizer->state;
        const UseGuard guard(*own.set);
        if (options == nullptr) {
            own.grads.reset();
            own.grad_input = kNoGradInput;
            own.grads_are_summed = false;
            return;
        }
        const GradInput input = read_grad_options(options);
        if (own.grads == nullptr) {
            own.grads = own.set->backend.create_grads(*own.set);
        }
        own.grad_input = input;
    });
}

nopt_status nopt_optimizer_sum_grads(nopt_optimizer* optimizer, void* stream) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        OptimizerState& own = *optimizer->state;
        ParamSet& set = *own.set;
        const UseGuard guard(set);
        check_stream(set.kind, stream);
        if (own.grads == nullptr || !needs_sum(own.grad_input)) {
            throw Error(NOPT_ERROR_INVALID_STATE,
                        "nopt_optimizer_sum_grads: the options need no sum; call nopt_optimizer_set_grad_options with "
                        "NOPT_GRAD_CLIP_NORM or NOPT_GRAD_SKIP_NONFINITE first");
        }
        if (!set.bound(NOPT_ROLE_GRAD)) {
            throw Error(NOPT_ERROR_MISSING_ROLE, "role GRAD is not bound; bind it with nopt_param_set_bind");
        }
        set.backend.begin(set, own.counter.get(), stream);
        set.backend.sum_grads(set, *own.grads, stream);
        own.grads_are_summed = true;
    });
}

nopt_status nopt_optimizer_get_grad_sum(nopt_optimizer* optimizer, double** sum) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        require_not_null(sum, "sum");
        const OptimizerState& own = *optimizer->state;
        if (own.grads == nullptr) {
            throw Error(
                NOPT_ERROR_INVALID_STATE,
                "nopt_optimizer_get_grad_sum: there are no options; call nopt_optimizer_set_grad_options first");
        }
        *sum = own.grads->sum();
    });
}

nopt_status nopt_optimizer_get_grad_status(const nopt_optimizer* optimizer, nopt_grad_status* status) {
    return guarded([&] {
        require_not_null(optimizer, "optimizer");
        const OptimizerState& own = *optimizer->state;
        const UseGuard guard(*own.set);
        nopt_grad_status value = {};
        value.clip_coefficient = 1.0;
        if (own.grads != nullptr) {
            const GradReading reading = own.grads->read();
            value.skipped = static_cast<uint32_t>(reading.skipped);
            value.skipped_steps = reading.skipped_steps;
            value.norm = reading.norm;
            value.clip_coefficient = reading.clip_coefficient;
        }
        write_struct(status, value, "status");
    });
}

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
        run_step(*optimizer->state, prepare_step(*optimizer->state, hyperparams), nullptr, stream);
    });
}

}  // extern "C"
