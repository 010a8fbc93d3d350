// The codes of NOPT_DTYPE_DYNAMIC8 on the device; see numerics/dynamic8.h, whose numbers and bits these are.
#pragma once

#include <stdint.h>

#include "cuda/access.cuh"
#include "cuda/tuning.h"
#include "numerics/dynamic8.h"
#include "numerics/dynamic8_divisor.h"

namespace nopt {

// Number K of a magnitude lies on the line of its decade: K = parts * magnitude + start. A decade begins at `begin`
// among the magnitudes of each logarithm: those below it lie on the first line, the others on the second one, which
// starts twice as high.
struct alignas(16) DynamicLines {
    float begin;
    float parts_below;
    float parts_above;
    float start;
};

template <bool kSigned>
struct DynamicTable {
    float value[256];  // of a code
    DynamicLines lines[kDynamicLogarithms];

    NOPT_HD constexpr DynamicTable() : value(), lines() {
        constexpr DynamicCode<kSigned> kCode = {};
        for (int code = 0; code < 256; ++code) {
            value[code] = kCode.value[code];
        }
        // Below the first decade and at 1 itself there is one number each. From kSmallestDynamic on, the first line is
        // one above its start (and not two, by kDynamicLast); the last one is above all numbers before it.
        constexpr double kTop = 1 << kCode.kTop;
        for (int d = 0; d <= kDynamicDecades; ++d) {
            lines[d].begin = kCode.begin[d];
            lines[d].parts_below = d > 0 ? kCode.parts[d - 1] : kSigned ? 0.0f : 0x1p20f;
            lines[d].parts_above =
                d < kDynamicDecades ? kCode.parts[d] : static_cast<float>(kTop * (1.002 - 0.8 / 0.9));
            lines[d].start = 0.5f * static_cast<float>(1 << (kCode.kLowest + d)) * kDynamicShift;
        }
    }
};

// The last number of a decade is 2 n - 1, where n is start / kDynamicShift: what is below 2 n and not below 2 n - 1
// does as well, since K is cut off to an integer.
constexpr float kDynamicLast = static_cast<float>(1.9999 / 0.8 * 0.9);

__device__ const DynamicTable<false> kWithoutSign = DynamicTable<false>();
__device__ const DynamicTable<true> kWithSign = DynamicTable<true>();

// In shared memory, as the threads of a warp ask for different entries: those of `lines` are in different banks.
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

// The larger of two magnitudes, the second one with any sign; a NaN if one is.
__device__ inline float larger_magnitude(float largest, float value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    float larger;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(larger) : "f"(largest), "f"(fabsf(value)));
    return larger;
#else
    return float_of(larger_magnitude(bits_of(largest), value));
#endif
}

// The largest of the threads of a warp, of finite magnitudes: their bits have the same order.
__device__ inline float largest_of_warp(float magnitude) {
    uint32_t largest = bits_of(magnitude);
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm volatile("redux.sync.max.u32 %0, %1, 0xffffffff;" : "=r"(largest) : "r"(bits_of(magnitude)));
#else
#pragma unroll
    for (int distance = kWarpThreads / 2; distance > 0; distance /= 2) {
        const uint32_t other = __shfl_xor_sync(0xffffffffu, largest, distance);
        largest = other > largest ? other : largest;
    }
#endif
    return float_of(largest);
}

constexpr float kSmallestDynamic = 0x1p-23f;  // below every decade

// From 0 on, of a magnitude from kSmallestDynamic to 1.
__device__ inline uint32_t dynamic_logarithm(float magnitude) {
    return static_cast<uint32_t>(uint64_t{bits_of(magnitude)} * kDynamicLogarithm >> 32) - kFirstDynamicLogarithm;
}

// Number K of a part of the scale, cut off; of a part's magnitude, or with its sign.
template <bool kSigned>
__device__ inline int32_t dynamic_number(const DynamicTable<kSigned>& table, float part) {
    const float size = fmaxf(fabsf(part), kSmallestDynamic);
    const DynamicLines lines = table.lines[dynamic_logarithm(size)];
    const bool above = size >= lines.begin;
    const float parts = above ? lines.parts_above : lines.parts_below;
    const float start = above ? lines.start + lines.start : lines.start;
    const float k = fminf(size * parts + start, start * kDynamicLast);
    return static_cast<int32_t>(kSigned ? float_of(bits_of(k) | (bits_of(part) & 0x80000000u)) : k);
}

// The lowest byte of each, the first in the lowest byte.
template <int Count>
__device__ inline uint32_t bytes_of_words(const uint32_t (&words)[Count]) {
    if constexpr (Count == 1) {
        return words[0];
    } else {
#ifdef __CUDA_ARCH__
        return __byte_perm(__byte_perm(words[0], words[1], 0x0040), __byte_perm(words[2], words[3], 0x0040), 0x5410);
#else
        return (words[0] & 0xffu) | (words[1] & 0xffu) << 8 | (words[2] & 0xffu) << 16 | words[3] << 24;
#endif
    }
}

// The codes of some states, the first in the lowest byte.
template <bool kSigned, int Count>
__device__ inline uint32_t codes_of(const DynamicTable<kSigned>& table, const float (&states)[Count],
                                    const Divisor& divisor) {
    uint32_t words[Count];
#pragma unroll
    for (int k = 0; k < Count; ++k) {
        const int32_t number = dynamic_number(table, divisor.quotient(states[k]));
        // 1 has no negative.
        words[k] = static_cast<uint32_t>(!kSigned        ? number - DynamicCode<kSigned>::kLowest
                                         : number > -127 ? number
                                                         : -127);
    }
    return bytes_of_words(words);
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
