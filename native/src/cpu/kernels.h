// The table of CPU kernels that kernels.cpp fills once for each instruction set. No std:: templates here: these objects
// must hold no weak symbol, or the linker could keep the wide copy of a function for all processors.
#pragma once

#include <stdint.h>

#include "rules/registry.h"

namespace nopt {

// What one call works on: `count` elements of one tensor, one address per buffer. states[] are in the rule's order.
struct ElementwiseArgs {
    float* param;
    const float* param_source;  // theta before the step: param, or its backup
    const float* grad;
    float* states[kMaxStates];
    int64_t count;
    const void* scalars;  // the rule's Scalars
};

typedef void (*ElementwiseKernel)(const ElementwiseArgs& args);

struct CpuKernels {
    ElementwiseKernel elementwise[kRuleCount][kMaxVariants];
};

}  // namespace nopt
