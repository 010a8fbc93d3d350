// What nopt_optimizer_step and nopt_dimer_step share: all checks and scalars of a step.
#pragma once

#include "backend/param_set.h"

namespace nopt {

struct PreparedStep {
    const StepInputs* inputs;  // the optimizer's, until another one is prepared
    GradInput grads;
};

// What a step, or a dimer's rotation, makes of the gradients now. Throws where it cannot.
GradInput prepare_grads(const OptimizerState& optimizer);

// A group's. Throws for what the optimizer's rule does not know or finds out of range.
nopt_hyperparams read_hyperparams(const OptimizerState& optimizer, const nopt_hyperparams* hyperparams, int group);

// ... and if a role that the rule needs is not bound.
PreparedStep prepare_step(OptimizerState& optimizer, const nopt_hyperparams* hyperparams);

// Takes the step. A dimer's pass has begun the call already.
void run_step(OptimizerState& optimizer, const PreparedStep& step, const DimerPass* dimer, void* stream);

}  // namespace nopt
