// The table of the CPU kernels that convert elements of 16 bits, filled once for each instruction set; see
// kernels.h.
#pragma once

#include <stdint.h>

#include "numerics/dtypes.h"

namespace nopt {

struct ConvertKernels {
    // By nopt_dtype; there is none of float32 and of DYNAMIC8.
    void (*to_float[kDTypeSlots])(const uint16_t* from, int64_t count, float* to);
    // To nearest, ties to even.
    void (*from_float[kDTypeSlots])(const float* from, int64_t count, uint16_t* to);
    // bfloat16 with its remainder.
    void (*join)(const uint16_t* from, const uint16_t* remainder, int64_t count, float* to);
};

}  // namespace nopt
