// The table of CPU kernels that kernels.cpp fills once for each instruction set. No std:: templates here: these objects
// must hold no weak symbol, or the linker could keep the wide copy of a function for all processors.
#pragma once

#include <stdint.h>

#include "rules/registry.h"

namespace nopt {

// The buffers of tensors: one table of addresses each, by tensor. States and inputs have the rule's indices.
struct ElementwiseBuffers {
    void* const* param;
    const void* const* param_source;  // theta before the step: param, or its backup
    const void* const* grad;          // a null address: the tensor is left alone
    void* const* states[kMaxStates];
    const void* const* inputs[kMaxInputs];  // null: not bound; a null address: the tensor has none
    const int64_t* counts;
};

// What one call works on: tensors in a row that share their scalars, from element `begin` of the first to element `end`
// of the last one. (Calling for each tensor takes as long as 40 elements.)
struct ElementwiseArgs {
    const ElementwiseBuffers& buffers;
    int64_t first;
    int64_t last;
    int64_t begin;
    int64_t end;
    const void* scalars;  // the rule's Scalars
};

typedef void (*ElementwiseKernel)(const ElementwiseArgs& args);

struct CpuKernels {
    ElementwiseKernel elementwise[kRuleCount][kMaxVariants];  // null beyond a rule's variants
};

}  // namespace nopt
