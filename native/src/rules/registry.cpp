#include "rules/registry.h"

#include <string.h>

#include <new>
#include <type_traits>

#include "rules/all_rules.h"

namespace nopt {
namespace {

template <class R>
void write_scalars(const StepInput& step, const Clock& clock, double lr_scale, double weight_decay, void* out) {
    using Scalars = typename R::Scalars;
    static_assert(sizeof(Scalars) <= kMaxScalars, "raise kMaxScalars");
    static_assert(std::is_trivially_copyable<Scalars>::value, "scalars are copied to devices");
    static_assert(std::is_base_of<CommonScalars, Scalars>::value, "scalars begin with the common ones");
    new (out) Scalars(R::scalars(step, clock, lr_scale, weight_decay));
}

// Whether every state is in some variant, no variant has others, and the limits hold.
constexpr bool is_consistent(const RuleInfo& info) {
    uint32_t states = 0;
    for (const uint32_t variant : info.variants) {
        states |= variant;
    }
    const bool has_common = info.hyperparams.count >= kFirstOwnHyperparam && info.hyperparams.count <= kMaxHyperparams;
    return has_common && states == (1u << info.states.count) - 1u && info.states.count <= kMaxStates &&
           info.inputs.count <= kMaxInputs && info.running.count <= kMaxRunning && info.variants.count <= kMaxVariants;
}

template <class R>
constexpr Rule make_rule() {
    static_assert(is_consistent(describe<R>()),
                  "the rule's description contradicts itself or passes a limit of rule.h");
    return {describe<R>(), &advance<R>, &write_scalars<R>};
}

}  // namespace

const Rule kRules[kRuleCount] = {
#define NOPT_RULE(Type, header) make_rule<Type>(),
#include "rules/rules.def"
#undef NOPT_RULE
};

uint32_t Rule::flags() const { return info.common_flags | (own_flag(info.flags.count) - own_flag(0)); }

uint32_t Rule::states_of(uint32_t set_flags, const double* values) const {
    uint32_t states = 0;
    for (int i = 0; i < info.states.count; ++i) {
        const StateInfo& state = info.states[i];
        const bool flag_is_set = (set_flags & state.needed_flag) == state.needed_flag;
        const bool is_above = state.needed_hyperparam < 0 || values[state.needed_hyperparam] > state.needed_above;
        states |= flag_is_set && is_above ? 1u << i : 0u;
    }
    return states;
}

int Rule::variant_of(uint32_t states) const {
    for (int i = 0; i < info.variants.count; ++i) {
        if (info.variants[i] == states) {
            return i;
        }
    }
    return -1;
}

bool Rule::selects_states(int hyperparam) const {
    for (const StateInfo& state : info.states) {
        if (state.needed_hyperparam == hyperparam) {
            return true;
        }
    }
    return false;
}

bool Rule::flag_selects_states(uint32_t flag) const {
    for (const StateInfo& state : info.states) {
        if ((state.needed_flag & flag) != 0) {
            return true;
        }
    }
    return false;
}

int find_rule(const char* name) {
    for (int i = 0; i < kRuleCount; ++i) {
        if (strcmp(kRules[i].info.name, name) == 0) {
            return i;
        }
    }
    return -1;
}

Clock initial_clock(const RuleInfo& info) {
    Clock clock = {};
    for (int i = 0; i < info.running.count; ++i) {
        clock.running[i] = info.running[i].initial_value;
    }
    return clock;
}

}  // namespace nopt
