// The codes of NOPT_DTYPE_DYNAMIC8 on the device; see numerics/dynamic8.h, whose numbers and bits these are.
#pragma once

#include <stdint.h>

#include "cuda/access.cuh"
#include "cuda/tuning.h"
#include "numerics/dynamic8.h"

namespace nopt {

// Number K of a magnitude lies on the line of its decade: K = parts * magnitude + start.
struct alignas(8) DynamicLine {
    float parts;
    float start;
};

// A decade begins at `begin` among the magnitudes of each logarithm. Line L is that of the magnitudes below it, L + 1
// that of the others. The first line and the last are those of a single number.
template <bool kSigned>
struct DynamicTable {
    float value[256];  // of a code
    float begin[kDynamicLogarithms];
    DynamicLine line[kDynamicLogarithms + 1];

    NOPT_HD constexpr DynamicTable() : value(), begin(), line() {
        constexpr DynamicCode<kSigned> kCode = {};
        for (int code = 0; code < 256; ++code) {
            value[code] = kCode.value[code];
        }
        line[0] = {0.0f, static_cast<float>(kCode.kLowest) + 0.5f};
        for (int d = 0; d < kDynamicDecades; ++d) {
            begin[d] = kCode.begin[d];
            line[d + 1] = {kCode.parts[d], static_cast<float>(1 << (kCode.kLowest + d)) * kDynamicShift};
        }
        begin[kDynamicDecades] = kCode.begin[kDynamicDecades];
        line[kDynamicDecades + 1] = {0.0f, static_cast<float>(1 << kCode.kTop) + 0.5f};
    }
};

// The last number of a decade is 2 n - 1, where n is start / kDynamicShift: what is below 2 n and not below 2 n - 1
// does as well, since K is cut off to an integer. (The numbers of the first and the last line are below it.)
constexpr float kDynamicLast = static_cast<float>(1.9999 / 0.8 * 0.9);

__device__ const DynamicTable<false> kWithoutSign = DynamicTable<false>();
__device__ const DynamicTable<true> kWithSign = DynamicTable<true>();

// In shared memory, as the threads of a warp ask for different entries: those of `begin` and `line` are in different
// banks.
struct DynamicTables {
    DynamicTable<false> without_sign;
    DynamicTable<true> with_sign;

    // By all threads of a block; a barrier has to follow.
    __device__ void fill() {
        static_assert(sizeof(DynamicTable<true>) == sizeof(DynamicTable<false>), "both are words of one number");
        constexpr int kWords = static_cast<int>(sizeof(DynamicTable<true>) / sizeof(uint32_t));
        const uint32_t* const from[2] = {reinterpret_cast<const uint32_t*>(&kWithoutSign),
                                         reinterpret_cast<const uint32_t*>(&kWithSign)};
        uint32_t* const to[2] = {reinterpret_cast<uint32_t*>(&without_sign), reinterpret_cast<uint32_t*>(&with_sign)};
        for (int i = static_cast<int>(threadIdx.x); i < kWords; i += kPassThreads) {
            to[0][i] = from[0][i];
            to[1][i] = from[1][i];
        }
    }
};

// Divides by one number again and again, with the bits of a division: the reciprocal to twice the digits makes a
// quotient that is one of the two floats around the true one, and what is left of the dividend, which is exact, rounds
// it (Markstein 1990, "Computation of elementary functions on the IBM RISC System/6000 processor", theorem 8). Takes 5
// instructions instead of 10 and a branch. Both are brought to where nothing underflows, by a power of 2; quotients
// below 2^-23 may have other bits, and all have the code of 0.
struct Divisor {
    float unit;
    float value;
    float high;  // of the reciprocal
    float low;

    __device__ explicit Divisor(float divisor)
        : unit(divisor < 0x1p-60f   ? 0x1p96f
               : divisor > 0x1p100f ? 0x1p-64f
                                    : 1.0f),
          value(divisor * unit),
          high(1.0f / value),
          low(fmaf(-value, high, 1.0f) * high) {}

    // Of a dividend that is no larger.
    __device__ float quotient(float dividend) const {
        const float own = dividend * unit;
        const float near = fmaf(own, high, own * low);
        return fmaf(fmaf(-value, near, own), high, near);
    }
};

// From 0 on, of a magnitude of at most 1.
__device__ inline uint32_t dynamic_logarithm(uint32_t magnitude_bits) {
    constexpr uint32_t kSmallest = uint32_t{kSmallestDynamicHalf} << 16;
    const uint32_t from_smallest = magnitude_bits > kSmallest ? magnitude_bits : kSmallest;
    return static_cast<uint32_t>(uint64_t{from_smallest} * kDynamicLogarithm >> 32) - kFirstDynamicLogarithm;
}

// Number K of a part of the scale, with the part's sign; cut off.
template <bool kSigned>
__device__ inline int32_t dynamic_number(const DynamicTable<kSigned>& table, float part) {
    const uint32_t magnitude = bits_of(part) & 0x7fffffffu;
    const uint32_t t = dynamic_logarithm(magnitude);
    const float size = float_of(magnitude);
    const DynamicLine line = table.line[t + (size >= table.begin[t] ? 1u : 0u)];
    const float k = fminf(size * line.parts + line.start, line.start * kDynamicLast);
    return static_cast<int32_t>(kSigned ? float_of(bits_of(k) | (bits_of(part) & 0x80000000u)) : k);
}

// The codes of some states, the first in the lowest byte.
template <bool kSigned, int Count>
__device__ inline uint32_t codes_of(const DynamicTable<kSigned>& table, const float (&states)[Count],
                                    const Divisor& divisor) {
    uint32_t codes = 0;
#pragma unroll
    for (int k = Count - 1; k >= 0; --k) {
        const int32_t number = dynamic_number(table, divisor.quotient(states[k]));
        if (kSigned) {
            // 1 has no negative.
            codes = codes << 8 | (static_cast<uint32_t>(number > -127 ? number : -127) & 0xffu);
        } else {
            codes = (codes << 8) + static_cast<uint32_t>(number - DynamicCode<kSigned>::kLowest);
        }
    }
    return codes;
}

template <int Count>
__device__ inline uint32_t load_codes(const unsigned char* from) {
    if constexpr (Count == 1) {
        return load_part(from);
    } else {
        static_assert(Count == 4, "the codes of a pack are a word");
        return load_words<1>(from).word[0];
    }
}

template <int Count>
__device__ inline void store_codes(unsigned char* to, uint32_t codes) {
    if constexpr (Count == 1) {
        store_part(to, codes);
    } else {
        store_words<1>(to, {{codes}});
    }
}

}  // namespace nopt
