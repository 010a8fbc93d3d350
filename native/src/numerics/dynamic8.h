// NOPT_DTYPE_DYNAMIC8: states of 8 bits, in blocks that share a scale. The code is that of dynamic quantization
// (Dettmers et al. 2022): number K of a decade [0.1, 1) * 10^d that has n = 2^I of them, n <= K < 2n, is the middle of
// the K-th of n equal parts, so that the leading bit of K tells the decade, and the bits after it the part.
#pragma once

#include <stdint.h>

#include "numerics/dtypes.h"

namespace nopt {

constexpr int64_t kBlockwiseElements = 256;                  // of a block
constexpr int64_t kBlockwiseBytes = kBlockwiseElements + 4;  // of a block and the scale before it
constexpr int kDynamicDecades = 7;
static_assert(dtype_info(NOPT_DTYPE_DYNAMIC8).block_elements == kBlockwiseElements &&
                  buffer_bytes(NOPT_DTYPE_DYNAMIC8, kBlockwiseElements) == kBlockwiseBytes,
              "the table of types says the same");

// Where the block that begins with element `begin` is.
NOPT_HD int64_t dynamic8_offset(int64_t begin) { return begin / kBlockwiseElements * kBlockwiseBytes; }

// The upper end of decade d, from 0 on.
NOPT_HD constexpr double decade_end(int d) {
    constexpr double kPowers[] = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0};
    return kPowers[d];
}

// K is parts * magnitude + n * kDynamicShift.
constexpr float kDynamicShift = static_cast<float>(0.8 / 0.9);

// What decodes a byte, and the places where the number of a decade begins. kLowest is the I of the smallest decade.
template <bool kSigned>
struct DynamicCode {
    static constexpr int kLowest = kSigned ? 0 : 1;
    static constexpr int kTop = kLowest + kDynamicDecades;  // 1 itself, on its own

    float value[256];
    float begin[kDynamicDecades + 1];  // halfway from the number before
    float parts[kDynamicDecades];      // per unit: what turns a magnitude into K, beside n * kDynamicShift

    NOPT_HD constexpr DynamicCode() : value(), begin(), parts() {
        double before = 0.0;
        for (int d = 0; d < kDynamicDecades; ++d) {
            const int n = 1 << (kLowest + d);
            for (int part = 0; part < n; ++part) {
                const double magnitude = decade_end(d) * (0.1 + 0.9 * (part + 0.5) / n);
                const int index = n + part - kLowest;
                value[index] = static_cast<float>(magnitude);
                if (kSigned) {
                    value[256 - index] = static_cast<float>(-magnitude);
                }
                if (part == 0) {
                    begin[d] = static_cast<float>(0.5 * (before + magnitude));
                }
                before = magnitude;
            }
            parts[d] = static_cast<float>(n / (0.9 * decade_end(d)));
        }
        value[(1 << kTop) - kLowest] = 1.0f;
        begin[kDynamicDecades] = static_cast<float>(0.5 * (before + 1.0));
    }
};

// The byte of a number of magnitude at most 1. Of a NaN it is 0. No table and no branch, and no arithmetic that only
// one side of a choice needs: compilers vectorise that.
template <bool kSigned>
NOPT_HD uint8_t to_dynamic(float number) {
    constexpr DynamicCode<kSigned> kCode = DynamicCode<kSigned>();
    const float magnitude = float_of(bits_of(number) & 0x7fffffffu);
    float n = static_cast<float>(1 << kCode.kLowest);
    float parts = kCode.parts[0];
    // (Written out: a loop over a table would read it from memory.)
#define NOPT_DECADE(d)                                                                    \
    n = magnitude >= kCode.begin[d] ? static_cast<float>(1 << (kCode.kLowest + (d))) : n; \
    parts = magnitude >= kCode.begin[d] ? kCode.parts[d] : parts;
    NOPT_DECADE(1)
    NOPT_DECADE(2)
    NOPT_DECADE(3)
    NOPT_DECADE(4)
    NOPT_DECADE(5)
    NOPT_DECADE(6)
#undef NOPT_DECADE
    const float last = n + n - 1.0f;
    float k = magnitude * parts + n * kDynamicShift;
    k = k < last ? k : last;
    k = magnitude >= kCode.begin[kDynamicDecades] ? static_cast<float>(1 << kCode.kTop) : k;
    k = magnitude >= kCode.begin[0] ? k : static_cast<float>(kCode.kLowest);
    const int32_t index = static_cast<int32_t>(k) - kCode.kLowest;
    if (!kSigned) {
        return static_cast<uint8_t>(index);
    }
    // All ones where the number is negative. 1 has no negative: its byte, 128, is its own.
    const int32_t sign = -static_cast<int32_t>(bits_of(number) >> 31);
    const int32_t limited = index < 128 + sign ? index : 128 + sign;
    return static_cast<uint8_t>((limited ^ sign) - sign);
}

// Logarithms tell the decade of a magnitude, without a search: the upper half of its bits times kDynamicLogarithm /
// 2^16. Those from 2^-23 on, which is below every decade, have kDynamicLogarithms values from kFirstDynamicLogarithm
// on, and one decade begins among the magnitudes of each value.
constexpr int kDynamicLogarithm = 154;               // log10(2) * 2^9: the exponent begins at bit 7 of the upper half
constexpr int16_t kSmallestDynamicHalf = 104 * 128;  // the upper half of 2^-23
constexpr int kFirstDynamicLogarithm = 31;
constexpr int kDynamicLogarithms = kDynamicDecades + 1;  // the last one is that of 1 itself
static_assert((kSmallestDynamicHalf * kDynamicLogarithm) >> 16 == kFirstDynamicLogarithm &&
                  (127 * 128 * kDynamicLogarithm) >> 16 == kFirstDynamicLogarithm + kDynamicLogarithms - 1,
              "the magnitudes from 2^-23 to 1 have so many logarithms");

// Whether a block can hold a state. One that is not finite would take the others of its block along, as they share its
// scale; so its element begins anew instead, with 0 in all of its states (in those of other types, too: a moment
// without the other would make steps of any length).
NOPT_HD bool is_finite(float value) { return (bits_of(value) & 0x7f800000u) != 0x7f800000u; }

// The order of magnitudes, of finite states.
NOPT_HD uint32_t larger_magnitude(uint32_t largest, float value) {
    const uint32_t own = bits_of(value) & 0x7fffffffu;
    return own > largest ? own : largest;
}

// What the states of a block are divided by to be parts of its scale: zeros by 1.
NOPT_HD float divisor_of(float scale) { return scale == 0.0f ? 1.0f : scale; }

}  // namespace nopt
