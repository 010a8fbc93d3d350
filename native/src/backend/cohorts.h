// The cohorts of an optimizer: tensors that share everything that a step computes once for many elements.
#pragma once

#include <vector>

#include "backend/clocks.h"

namespace nopt {

// What tells one cohort from another. Here, and nowhere else, a tensor's own options meet those of its group.
struct Cohort {
    int32_t group;  // of hyperparameters
    int32_t clock;
    double lr_scale;
    double weight_decay;  // or NOPT_INHERIT
};

// The weight decay of a cohort's tensors.
NOPT_HD double weight_decay_of(double own, const StepInput& step) {
    return own == NOPT_INHERIT ? step.values[kWeightDecay] : own;
}

class Cohorts {
public:
    // Finds them anew if options of tensors or their clocks have changed.
    void follow(const ParamSet& set, const Clocks& clocks) {
        if (set.tensor_options_version != options_version_ || clocks.map_version() != map_version_) {
            find(set, clocks);
        }
    }

    const std::vector<Cohort>& all() const { return all_; }
    // Whether all tensors are of cohort 0.
    bool is_one() const { return of_tensor_.empty(); }
    // Of each tensor, unless it is one.
    const std::vector<int32_t>& of_tensor() const { return of_tensor_; }
    // Counts the changes; never 0.
    uint64_t version() const { return version_; }

private:
    void find(const ParamSet& set, const Clocks& clocks);

    std::vector<Cohort> all_;
    std::vector<int32_t> of_tensor_;
    uint64_t options_version_ = UINT64_MAX;
    uint64_t map_version_ = 0;
    uint64_t version_ = 0;
};

}  // namespace nopt
