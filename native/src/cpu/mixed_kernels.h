// The table of CPU kernels for buffers of any element types, which mixed_kernels.cpp fills once for each instruction
// set; see kernels.h.
#pragma once

#include <stdint.h>

#include "dimer/dimer.h"
#include "rules/registry.h"

namespace nopt {

// The buffers of a role: an address and an element type for each tensor.
struct RoleBuffers {
    void* const* addresses;   // null: the role is not bound
    const nopt_dtype* types;  // null: all float32

    NOPT_HD char* address(int64_t tensor) const {
        return addresses == nullptr ? nullptr : static_cast<char*>(addresses[tensor]);
    }
    NOPT_HD nopt_dtype type(int64_t tensor) const { return types == nullptr ? NOPT_DTYPE_FLOAT32 : types[tensor]; }
};

struct MixedBuffers {
    RoleBuffers param;
    RoleBuffers source;  // theta before the step: param, or its backup
    RoleBuffers master;
    RoleBuffers remainder;
    RoleBuffers given;  // a null address: the tensor has no gradient and is left alone
    RoleBuffers grad;   // the same, or where a dimer keeps it
    RoleBuffers states[kMaxStates];
    RoleBuffers inputs[kMaxInputs];
    const int64_t* counts;
};

// What a kernel works on at a time where it cannot go on without something of a whole part: the scale of a block,
// random numbers, a turn of a dimer's direction.
constexpr int64_t kPartElements = 1024;

// What a dimer makes of the gradient on its way to the rule. The buffers are float32 but for the displaced gradient,
// which has the gradient's types.
struct MixedDimer {
    RoleBuffers displaced;
    RoleBuffers direction;
    const DimerScope* scopes;  // of each tensor, or the one of all
    bool per_tensor;
    bool rotates;  // after kDecideRotate; the others turn with `turn`
    // Null: N stays. Turns a part of N, from `begin` on.
    void (*turn)(const void* context, int64_t tensor, int64_t begin, int64_t count);
    const void* context;

    NOPT_HD const DimerScope& scope(int64_t tensor) const { return scopes[per_tensor ? tensor : 0]; }
};

// What one call works on: as ElementwiseArgs. `begin` is the first element of a block of DYNAMIC8.
struct MixedArgs {
    const MixedBuffers& buffers;
    int64_t first;
    int64_t last;
    int64_t begin;
    int64_t end;
    const void* scalars;
    const MixedDimer* dimer;  // null: no dimer
    uint32_t rounding;        // flags of kStochasticRounding
    uint64_t rounding_seed;
};

typedef void (*MixedKernel)(const MixedArgs& args);

struct MixedKernels {
    MixedKernel elementwise[kRuleCount][kMaxVariants];  // null beyond a rule's variants
};

}  // namespace nopt
