// The CPU kernels that convert elements of 16 bits. This file is compiled once for each instruction set,
// NOPT_CPU_ISA being its identifier; the compiler vectorises the loops. All have the same bits.
#include "cpu/convert_kernels.h"

#include "cpu/isa_macros.h"
#include "numerics/dtypes.h"

namespace nopt {
namespace {

template <int DType>
void to_float(const uint16_t* __restrict from, int64_t count, float* __restrict to) {
    for (int64_t i = 0; i < count; ++i) {
        to[i] = from_half(DType, from[i]);
    }
}

template <int DType>
void from_float(const float* __restrict from, int64_t count, uint16_t* __restrict to) {
    for (int64_t i = 0; i < count; ++i) {
        to[i] = to_half(DType, from[i]);
    }
}

void join(const uint16_t* __restrict from, const uint16_t* __restrict remainder, int64_t count, float* __restrict to) {
    for (int64_t i = 0; i < count; ++i) {
        to[i] = join_bfloat16(from[i], remainder[i]);
    }
}

}  // namespace

static_assert(kDTypeSlots == 5, "the tables below name every element type");

extern const ConvertKernels NOPT_JOIN(convert_kernels_, NOPT_CPU_ISA);
const ConvertKernels NOPT_JOIN(convert_kernels_, NOPT_CPU_ISA) = {
    {nullptr, nullptr, &to_float<NOPT_DTYPE_BFLOAT16>, &to_float<NOPT_DTYPE_FLOAT16>, nullptr},
    {nullptr, nullptr, &from_float<NOPT_DTYPE_BFLOAT16>, &from_float<NOPT_DTYPE_FLOAT16>, nullptr},
    &join,
};

}  // namespace nopt
