// A step of the CPU backend over the elements.
#pragma once

#include "backend/backend.h"

namespace nopt {

// What the backend keeps for an optimizer.
std::unique_ptr<OptimizerData> make_cpu_optimizer();

// Takes the step. `reading`: what was decided about the gradients; null where they have no options. Returns true: it
// was taken.
bool cpu_step(const ParamSet& set, const StepPlan& plan, const GradReading* reading);

}  // namespace nopt
