// The table of the CPU kernels that convert elements of 16 and 8 bits, filled once for each instruction set; see
// kernels.h.
#pragma once

#include <stdint.h>

#include "numerics/dtypes.h"

namespace nopt {

struct ConvertKernels {
    // By nopt_dtype; there is none of float32, and none of DYNAMIC8, whose blocks are below.
    void (*to_float[kDTypeSlots])(const uint16_t* from, int64_t count, float* to);
    // To nearest, ties to even.
    void (*from_float[kDTypeSlots])(const float* from, int64_t count, uint16_t* to);
    // bfloat16 beside a master: to nearest, ties away from zero.
    void (*from_master)(const float* from, int64_t count, uint16_t* to);
    // bfloat16 with its remainder.
    void (*join)(const uint16_t* from, const uint16_t* remainder, int64_t count, float* to);
    void (*split)(const float* from, int64_t count, uint16_t* to, uint16_t* remainder);
    // bfloat16 by the random numbers of element `first` of the tensor, a multiple of 8, and those after it; the others
    // are the arguments of rounding_bits.
    void (*from_float_stochastic)(const float* from, int64_t count, uint64_t seed, uint32_t use, uint32_t step,
                                  uint32_t tensor, int64_t first, uint16_t* to);
    // Blocks of DYNAMIC8, the first one whole, without and with a sign.
    void (*from_blocks[2])(const unsigned char* from, int64_t count, float* to);
    void (*to_blocks[2])(const float* from, int64_t count, unsigned char* to);
    // Sets all states of an element to 0 if one of them is not finite. `states` has room for kMaxStates; null: there is
    // none.
    void (*restart_elements)(float* const* states, int64_t count);
};

}  // namespace nopt
