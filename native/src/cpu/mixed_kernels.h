// The table of CPU kernels for buffers of any element types, which mixed_kernels.cpp fills once for each instruction
// set; see kernels.h.
#pragma once

#include <stdint.h>

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
    RoleBuffers grad;  // a null address: the tensor is left alone
    RoleBuffers states[kMaxStates];
    RoleBuffers inputs[kMaxInputs];
    const int64_t* counts;
};

// What a kernel works on at a time where it cannot go on without something of a whole part: the scale of a block,
// random numbers, gradients that are in no buffer.
constexpr int64_t kPartElements = 1024;

// Where gradients come from that are in no buffer: returns `count` of them, kPartElements at most, from `begin` on.
// `room` is a place for as many.
struct GradSource {
    const float* (*read)(const void* context, int64_t tensor, int64_t begin, int64_t count, float* room);
    const void* context;
};

// What one call works on: as ElementwiseArgs. `begin` is the first element of a block of DYNAMIC8.
struct MixedArgs {
    const MixedBuffers& buffers;
    int64_t first;
    int64_t last;
    int64_t begin;
    int64_t end;
    const void* scalars;
    const GradSource* grads;  // null: the buffers of `grad`
    uint32_t rounding;        // flags of kStochasticRounding
    uint64_t rounding_seed;
};

typedef void (*MixedKernel)(const MixedArgs& args);

struct MixedKernels {
    MixedKernel elementwise[kRuleCount][kMaxVariants];  // null beyond a rule's variants
};

}  // namespace nopt
