// How a rule describes itself: the tables that it fills in, and the ranges that they share. The C functions
// nopt_rule_get_* hand them out, and every check, text and buffer follows from them.
#pragma once

#include <float.h>
#include <stdint.h>

#include "nativeopt/nativeopt.h"

namespace nopt {

// The values that a hyperparameter or a running scalar may have.
struct Range {
    double min;
    double max;
    bool max_is_excluded;
    bool is_integer;
};

// What steps compute with as a float, as it is: 0, or normal and finite as a float. A double that a float has as 0
// would mean another thing, such as an eps that does not keep 0 / 0 away.
constexpr Range kFloat = {0.0, double{FLT_MAX}, false, false};
constexpr Range kDecayRate = {0.0, 1.0, true, false};  // a beta
constexpr Range kPart = {0.0, 1.0, false, false};
constexpr Range kStepNumber = {0.0, 9007199254740992.0, false, true};  // as far as doubles count
constexpr Range kAnyNumber = {-DBL_MAX, DBL_MAX, false, false};

// Learning rates and weight decays may be as small as schedules make them: as a float they vanish as their effect does.
// Their bounds keep finite as a float whatever they become a part of: a learning rate over 1 - beta^t, which is 2^-53
// or more, and the product of both.
constexpr Range kLrRange = {0.0, 1e22, false, false};
constexpr Range kCoefficient = {0.0, 1e16, false,
                                false};  // multiplies a rate or a step count, in double, or is a power
constexpr Range kWeightDecayRange = kCoefficient;

struct HyperparamInfo {
    const char* name;
    double default_value;
    Range range;
    const char* meaning;
};

// Every rule begins its hyperparameters with these two.
constexpr int kLr = NOPT_HYPERPARAM_LR;
constexpr int kWeightDecay = NOPT_HYPERPARAM_WEIGHT_DECAY;
constexpr int kFirstOwnHyperparam = 2;

constexpr HyperparamInfo lr_info(double default_value) { return {"lr", default_value, kLrRange, "The learning rate."}; }
constexpr HyperparamInfo weight_decay_info(double default_value) {
    return {"weight_decay", default_value, kWeightDecayRange,
            "The weight decay of tensors that have none of their own."};
}

// An option of the rule's own. Flag i of a rule is the bit own_flag(i).
struct FlagInfo {
    const char* name;
    const char* meaning;
    int needed_hyperparam = -1;  // must be above 0 with the flag
    int zero_hyperparam = -1;    // must be 0 with the flag
};

// The options that mean the same in every rule that knows them, in the order of their bits.
struct CommonFlagInfo {
    uint32_t flag;
    const char* name;
    const char* meaning;
};

constexpr CommonFlagInfo kCommonFlags[] = {
    {NOPT_FLAG_MAXIMIZE, "maximize", "Ascends: the gradient's sign is flipped before anything else."},
    {NOPT_FLAG_DECOUPLED_WEIGHT_DECAY, "decoupled_weight_decay",
     "Weight decay shrinks the parameter before the update (Loshchilov & Hutter 2019), instead of being added to the "
     "gradient."},
    {NOPT_FLAG_STOCHASTIC_ROUNDING, "stochastic_rounding",
     "Rounds bfloat16 parameters up or down at random, right on average (Croci et al. 2022)."},
    {NOPT_FLAG_BIAS_CORRECTION_BY_POWER, "bias_correction_by_power",
     "Corrects the bias by beta^t with this step's beta, as torch does, and not by the product of the betas of all "
     "steps."},
    {NOPT_FLAG_STOCHASTIC_ROUNDING_STATES, "stochastic_rounding_states",
     "Rounds bfloat16 states up or down at random, right on average (Croci et al. 2022)."}};

// The flags that say what is rounded at random; every rule knows them.
constexpr uint32_t kStochasticRounding = NOPT_FLAG_STOCHASTIC_ROUNDING | NOPT_FLAG_STOCHASTIC_ROUNDING_STATES;

constexpr uint32_t own_flag(int i) { return uint32_t{NOPT_FLAG_RULE} << i; }

// Element types that a buffer may have.
constexpr uint32_t dtype_bit(nopt_dtype dtype) { return 1u << dtype; }
constexpr uint32_t kFloat32Only = dtype_bit(NOPT_DTYPE_FLOAT32);
constexpr uint32_t kUpTo16Bits = kFloat32Only | dtype_bit(NOPT_DTYPE_BFLOAT16) | dtype_bit(NOPT_DTYPE_FLOAT16);
constexpr uint32_t kUpTo8Bits = kUpTo16Bits | dtype_bit(NOPT_DTYPE_DYNAMIC8);

enum Sign : bool {
    kUnsigned = false,
    kSigned = true
};

struct StateInfo {
    const char* name;
    Sign sign;
    uint32_t dtypes;
    const char* meaning;
    // The state is there only if the flag is set and the hyperparameter is above the bound, as far as they are named.
    uint32_t needed_flag = 0;
    int needed_hyperparam = -1;
    double needed_above = 0.0;
    // What the host fills it with before the first step.
    double initial_value = 0.0;
    int initial_hyperparam = -1;
};

struct InputInfo {
    const char* name;
    const char* meaning;
};

struct RunningInfo {
    const char* name;
    double initial_value;
    Range range;  // after the first step
    const char* meaning;
};

// A product of decay rates, one for each step.
constexpr RunningInfo decay_product_info(const char* name, const char* meaning) {
    return {name, 1.0, kDecayRate, meaning};
}

// A table of any length, none included.
template <class Info>
struct Table {
    const Info* data;
    int count;

    constexpr const Info& operator[](int i) const { return data[i]; }
    constexpr const Info* begin() const { return data; }
    constexpr const Info* end() const { return data + count; }
};

struct NoTable {};

template <class Info, int Count>
constexpr Table<Info> table_of(const Info (&infos)[Count]) {
    return {infos, Count};
}
template <class Info>
constexpr Table<Info> table_of(NoTable) {
    return {nullptr, 0};
}

// What a rule leaves out, it has none of.
struct RuleDefaults {
    static constexpr uint32_t common_flags = 0;   // the nopt_flag values that it knows beside its own
    static constexpr uint32_t default_flags = 0;  // those that nopt_rule_get_defaults sets
    static constexpr NoTable flags = {};
    static constexpr NoTable states = {};
    static constexpr NoTable inputs = {};
    static constexpr NoTable running = {};
    static constexpr bool running_follow_from_count = false;  // those of a step from its t alone, whatever came before
    // The sets of states that options can lead to, by bit. Each has kernels of its own.
    static constexpr uint32_t variants[] = {0};
};

// All of it, for code that does not know the rule's type.
struct RuleInfo {
    const char* name;
    const char* source;
    const char* equations;
    uint32_t common_flags;
    uint32_t default_flags;
    Table<HyperparamInfo> hyperparams;
    Table<FlagInfo> flags;
    Table<StateInfo> states;
    Table<InputInfo> inputs;
    Table<RunningInfo> running;
    bool running_follow_from_count;
    Table<uint32_t> variants;
};

template <class Rule>
constexpr RuleInfo describe() {
    return {Rule::name,
            Rule::source,
            Rule::equations,
            Rule::common_flags | kStochasticRounding,
            Rule::default_flags,
            table_of<HyperparamInfo>(Rule::hyperparams),
            table_of<FlagInfo>(Rule::flags),
            table_of<StateInfo>(Rule::states),
            table_of<InputInfo>(Rule::inputs),
            table_of<RunningInfo>(Rule::running),
            Rule::running_follow_from_count,
            table_of<uint32_t>(Rule::variants)};
}

}  // namespace nopt
