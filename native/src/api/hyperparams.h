// The checks of nopt_hyperparams against what the rule says of itself.
#pragma once

#include "backend/optimizer_state.h"

namespace nopt {

// The rule of this name. Throws with the names of all rules if there is none.
const Rule& named_rule(const char* name, int* index = nullptr);

bool is_in(const Range& range, double value);

// Throws unless the value is in the hyperparameter's range.
void check_hyperparam(const HyperparamInfo& info, double value);

// Throws if the learning rate of a tensor of the group would be too large.
void require_learning_rates(const OptimizerState& optimizer, int group, double lr);

// "it must be ..." of a range, for error texts.
const char* describe_range(const Range& range, char (&text)[96]);

// Reads a caller's struct and checks all that the rule alone decides: flags, values, and what is to be 0. The learning
// rate may be NOPT_LR_ON_DEVICE.
nopt_hyperparams checked_hyperparams(const Rule& rule, const nopt_hyperparams* argument);

// Reads the struct of a group and checks it for an optimizer. Throws for what its rule does not know or finds out of
// range.
nopt_hyperparams read_hyperparams(const OptimizerState& optimizer, const nopt_hyperparams* hyperparams, int group);

}  // namespace nopt
