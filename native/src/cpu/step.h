// A step of the CPU backend over the elements.
#pragma once

#include "backend/backend.h"

namespace nopt {

// What the backend keeps for an optimizer.
std::unique_ptr<OptimizerData> make_cpu_optimizer();

// Takes the step with these inputs, which have seen the options of gradients already. Returns true: it was taken.
bool cpu_step(const ParamSet& set, const StepPlan& plan, const StepInputs& inputs);

}  // namespace nopt
