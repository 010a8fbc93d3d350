// What an optimizer and the dimers around it share.
#pragma once

#include <memory>

#include "backend/clocks.h"
#include "backend/cohorts.h"
#include "backend/param_set.h"

namespace nopt {

struct OptimizerState {
    OptimizerState(std::shared_ptr<ParamSet> set_, int rule_)
        : set(std::move(set_)), rule(rule_), clocks(*set, rule_at(rule_)), data(set->backend.create_optimizer(*set)) {}

    const Rule& rule_info() const { return rule_at(rule); }

    // What the steps of dimer passes are counted from; 0 where the device counts.
    int64_t steps_taken() const { return counter == nullptr ? clocks.at(0).step : 0; }

    std::shared_ptr<ParamSet> set;
    int rule;  // a RuleIndex
    int32_t group_count = 1;
    Clocks clocks;
    Cohorts cohorts;
    std::unique_ptr<OptimizerData> data;
    bool capturable = false;
    bool has_lr[NOPT_MAX_GROUPS] = {};     // whether there is a learning rate for NOPT_LR_ON_DEVICE
    double lr[NOPT_MAX_GROUPS] = {};       // that learning rate, where the host counts
    bool has_loss_scale = false;           // whether there is a loss scale for NOPT_LOSS_SCALE_ON_DEVICE
    double loss_scale = 1.0;               // that loss scale, where the host counts
    std::unique_ptr<StepCounter> counter;  // null: the host counts
    std::unique_ptr<GradData> grads;       // null: no options of gradients
    GradInput grad_input = kNoGradInput;
    bool grads_are_summed = false;  // for the next step

    // What was checked last and made of it, so that steps with the same hyperparameters and buffers need not.
    static constexpr uint64_t kUnchecked = UINT64_MAX;
    uint64_t checked_version = kUnchecked;  // of the set
    nopt_hyperparams checked[NOPT_MAX_GROUPS];
    StepInputs inputs;
};

}  // namespace nopt

// The C handle.
struct nopt_optimizer {
    std::shared_ptr<nopt::OptimizerState> state;
};
