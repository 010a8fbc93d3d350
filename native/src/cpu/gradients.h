// The options of the gradients on the CPU: the sum that they need, and the steps that scale, clip or skip by it.
#pragma once

#include "backend/backend.h"

namespace nopt {

std::unique_ptr<GradData> make_cpu_grads(const ParamSet& set);

// Sums up the squares of all gradients.
void cpu_sum_grads(const ParamSet& set, GradData& grads);

// Takes the step unless the options skip it. Returns whether it was taken.
bool cpu_step_with_grads(ParamSet& set, const StepPlan& plan);

}  // namespace nopt
