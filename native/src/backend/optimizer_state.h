// What an optimizer and the dimers around it share.
#pragma once

#include <memory>
#include <vector>

#include "backend/clocks.h"
#include "backend/cohorts.h"
#include "backend/param_set.h"

namespace nopt {

// Stands for a learning rate that has not been set.
constexpr double kNoLr = -1.0;

struct OptimizerState {
    OptimizerState(std::shared_ptr<ParamSet> set_, int rule_)
        : set(std::move(set_)), rule(rule_), clocks(*set, rule_at(rule_)), data(set->backend.create_optimizer(*set)) {}

    const Rule& rule_info() const { return rule_at(rule); }

    int32_t group_count() const { return clocks.group_count(); }

    // What the steps of dimer passes are counted from; 0 where the device counts.
    int64_t steps_taken() const { return counter == nullptr ? clocks.at(0).step : 0; }

    std::shared_ptr<ParamSet> set;
    int rule;  // a RuleIndex
    Clocks clocks;
    Cohorts cohorts;
    std::unique_ptr<OptimizerData> data;
    bool capturable = false;
    std::vector<double> lr = {kNoLr};      // of each group, for NOPT_LR_ON_DEVICE
    bool has_loss_scale = false;           // whether there is a loss scale for NOPT_LOSS_SCALE_ON_DEVICE
    double loss_scale = 1.0;               // that loss scale, where the host counts
    std::unique_ptr<StepCounter> counter;  // null: the host counts
    std::unique_ptr<GradData> grads;       // null: no options of gradients
    GradInput grad_input = kNoGradInput;
    bool grads_are_summed = false;  // for the next step

    // What was checked last and made of it, so that steps with the same hyperparameters and buffers need not.
    static constexpr uint64_t kUnchecked = UINT64_MAX;
    uint64_t checked_version = kUnchecked;  // of the set
    // Of each group:
    std::vector<nopt_hyperparams> checked = std::vector<nopt_hyperparams>(1);
    std::vector<StepInput> inputs = std::vector<StepInput>(1);
};

}  // namespace nopt

// The C handle.
struct nopt_optimizer {
    std::shared_ptr<nopt::OptimizerState> state;
};
