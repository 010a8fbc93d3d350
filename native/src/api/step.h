// What nopt_optimizer_step and nopt_dimer_step share: the checks that come before a step, and the step.
#pragma once

#include "backend/optimizer_state.h"

namespace nopt {

// What a step, or a dimer's rotation, makes of the gradients now. Throws where it cannot.
GradInput prepare_grads(const OptimizerState& optimizer);

// Checks everything that a step needs, throws if it lacks something, and fills the optimizer's inputs and clocks for
// it. Returns what it makes of the gradients.
GradInput prepare_step(OptimizerState& optimizer, const nopt_hyperparams* hyperparams);

// Brings clocks and cohorts up to date with the set. Throws if a tensor is in a group that the optimizer lacks.
void follow_set(OptimizerState& optimizer);

// Does that, and brings the device up to date with both. Comes before the passes of every call.
void begin_passes(OptimizerState& optimizer, void* stream);

// Takes the step that was prepared. A dimer's pass has begun the call already.
void run_step(OptimizerState& optimizer, const GradInput& grad_input, const DimerPass* dimer, void* stream);

}  // namespace nopt
