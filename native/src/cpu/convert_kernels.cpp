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

// The random numbers of some blocks in a row, a word of each after another.
constexpr int kBlocksAtATime = 32;

struct RoundingWords {
    uint32_t word[4][kBlocksAtATime];

    Philox of(int64_t b) const { return {{word[0][b], word[1][b], word[2][b], word[3][b]}}; }
    void set(int64_t b, const Philox& bits) {
        for (int w = 0; w < 4; ++w) {
            word[w][b] = bits.word[w];
        }
    }
};

// rounding_bits, a round of all blocks at a time, which the compiler vectorises.
void draw(RoundingWords& words, uint64_t seed, uint32_t use, uint32_t step, uint32_t tensor, uint64_t block) {
    for (int b = 0; b < kBlocksAtATime; ++b) {
        words.set(b, rounding_counter(use, step, tensor, block + static_cast<uint64_t>(b)));
    }
    const uint32_t key0 = static_cast<uint32_t>(seed);
    const uint32_t key1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < kPhiloxRounds; ++round) {
        for (int b = 0; b < kBlocksAtATime; ++b) {
            words.set(b, philox_round(words.of(b), key0, key1, round));
        }
    }
}

void from_float_stochastic(const float* __restrict from, int64_t count, uint64_t seed, uint32_t use, uint32_t step,
                           uint32_t tensor, int64_t first, uint16_t* __restrict to) {
    constexpr int64_t kAtATime = kBlocksAtATime * kRandomsPerBlock;
    RoundingWords words;
    uint16_t random[kAtATime];
    for (int64_t begin = 0; begin < count; begin += kAtATime) {
        draw(words, seed, use, step, tensor, static_cast<uint64_t>(first + begin) / kRandomsPerBlock);
        const int64_t left = count - begin < kAtATime ? count - begin : kAtATime;
        for (int b = 0; b < kBlocksAtATime; ++b) {
            for (int k = 0; k < kRandomsPerBlock; ++k) {
                random[b * kRandomsPerBlock + k] = static_cast<uint16_t>(rounding_bits_of(words.of(b), k));
            }
        }
        for (int64_t i = 0; i < left; ++i) {
            to[begin + i] = to_bfloat16_stochastic(from[begin + i], random[i]);
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

// First whether there are any: a loop that compilers vectorise.
void restart_elements(float* const* states, int64_t count) {
    uint32_t found = 0;
    for (int s = 0; s < kMaxStates; ++s) {
        const float* const state = states[s];
        for (int64_t i = 0; state != nullptr && i < count; ++i) {
            found |= is_finite(state[i]) ? 0u : 1u;
        }
    }
    for (int64_t i = 0; found != 0 && i < count; ++i) {
        bool finite = true;
        for (int s = 0; s < kMaxStates; ++s) {
            finite = finite && (states[s] == nullptr || is_finite(states[s][i]));
        }
        for (int s = 0; s < kMaxStates && !finite; ++s) {
            if (states[s] != nullptr) {
                states[s][i] = 0.0f;
            }
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
    &restart_elements,
};

}  // namespace nopt
