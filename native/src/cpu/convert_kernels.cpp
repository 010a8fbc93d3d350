// The CPU kernels that convert elements of 16 and 8 bits. This file is compiled once for each instruction set,
// NOPT_CPU_ISA being its identifier; the compiler vectorises the loops. All have the same bits.
#include "cpu/convert_kernels.h"

#include "cpu/isa_macros.h"
#include "numerics/dtypes.h"
#include "numerics/dynamic8.h"

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

void from_master(const float* __restrict from, int64_t count, uint16_t* __restrict to) {
    for (int64_t i = 0; i < count; ++i) {
        to[i] = to_bfloat16_away(from[i]);
    }
}

void join(const uint16_t* __restrict from, const uint16_t* __restrict remainder, int64_t count, float* __restrict to) {
    for (int64_t i = 0; i < count; ++i) {
        to[i] = join_bfloat16(from[i], remainder[i]);
    }
}

void split(const float* __restrict from, int64_t count, uint16_t* __restrict to, uint16_t* __restrict remainder) {
    for (int64_t i = 0; i < count; ++i) {
        to[i] = to_bfloat16_away(from[i]);
        remainder[i] = remainder_of(from[i]);
    }
}

void from_float_stochastic(const float* __restrict from, int64_t count, uint64_t seed, uint32_t step, uint32_t tensor,
                           int64_t first, uint16_t* __restrict to) {
    for (int64_t begin = 0; begin < count; begin += kRandomsPerBlock) {
        const uint64_t block = static_cast<uint64_t>(first + begin) / kRandomsPerBlock;
        const Philox bits = rounding_bits(seed, step, tensor, block);
        const int64_t left = count - begin < kRandomsPerBlock ? count - begin : kRandomsPerBlock;
        for (int k = 0; k < left; ++k) {
            to[begin + k] = to_bfloat16_stochastic(from[begin + k], rounding_bits_of(bits, k));
        }
    }
}

constexpr DynamicCode<false> kUnsignedCode;
constexpr DynamicCode<true> kSignedCode;

constexpr int64_t at_most_a_block(int64_t count) { return count < kBlockwiseElements ? count : kBlockwiseElements; }

template <bool kSigned>
void from_blocks(const unsigned char* from, int64_t count, float* __restrict to) {
    const float* const numbers = kSigned ? kSignedCode.value : kUnsignedCode.value;
    for (; count > 0; count -= kBlockwiseElements, to += kBlockwiseElements, from += kBlockwiseBytes) {
        float scale;
        memcpy(&scale, from, sizeof scale);
        const unsigned char* __restrict const codes = from + sizeof scale;
        const int64_t block = at_most_a_block(count);
        for (int64_t i = 0; i < block; ++i) {
            to[i] = numbers[codes[i]] * scale;
        }
    }
}

template <bool kSigned>
void to_blocks(const float* __restrict from, int64_t count, unsigned char* __restrict to) {
    for (; count > 0; count -= kBlockwiseElements, from += kBlockwiseElements, to += kBlockwiseBytes) {
        const int64_t block = at_most_a_block(count);
        uint32_t largest = 0;
        for (int64_t i = 0; i < block; ++i) {
            largest = larger_magnitude(largest, from[i]);
        }
        memcpy(to, &largest, sizeof largest);
        const float divisor = divisor_of(float_of(largest));
        unsigned char* __restrict const codes = to + sizeof largest;
        for (int64_t i = 0; i < block; ++i) {
            codes[i] = to_dynamic<kSigned>(from[i] / divisor);
        }
    }
}

}  // namespace

static_assert(kDTypeSlots == 5, "the tables below name every element type");

extern const ConvertKernels NOPT_JOIN(convert_kernels_, NOPT_CPU_ISA);
const ConvertKernels NOPT_JOIN(convert_kernels_, NOPT_CPU_ISA) = {
    {nullptr, nullptr, &to_float<NOPT_DTYPE_BFLOAT16>, &to_float<NOPT_DTYPE_FLOAT16>, nullptr},
    {nullptr, nullptr, &from_float<NOPT_DTYPE_BFLOAT16>, &from_float<NOPT_DTYPE_FLOAT16>, nullptr},
    &from_master,
    &join,
    &split,
    &from_float_stochastic,
    {&from_blocks<false>, &from_blocks<true>},
    {&to_blocks<false>, &to_blocks<true>},
};

}  // namespace nopt
